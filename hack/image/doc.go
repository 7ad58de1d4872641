// Package image reads our Dockerfiles without a container engine: it parses them,
// judges the images that they describe, and lays out the files of the last stage,
// so that a program can be run as in a container.
//
// It owns which instructions our Dockerfiles may use, and what an image of ours
// must be. It knows no base image: what is laid out holds our own files alone,
// which is all that our programs need.
package image
