// Package client is the parent of the generated clientset (versioned), listers,
// informers and apply configurations of the API group ambient.io.
package client
