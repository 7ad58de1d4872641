// Package certs makes certificate authorities and the certificates that they
// sign: P-256 keys, random serial numbers, PEM in and out, bundles of what is
// trusted.
//
// It owns what a certificate of ours looks like. It must not know who uses
// one: no Kubernetes objects, no files, no names of our services. The packages
// below it do: rotation decides when an authority follows another, secret keeps
// that where all replicas find it, publish tells it to kube-apiserver, and serving
// has the certificate that a server shows.
package certs
