// Package project projects Projects: to each its namespace, open for the
// platform's operator, and in it the secret without which the operator loses the
// first prompt.
//
// It owns the question whether a namespace may hold sessions. It must not know
// what is projected into it.
package project
