// Package deploy proves the manifests and the images: they are deployed, as they
// are, to a real control plane with a stand-in for a node, by make, and removed
// again.
package deploy
