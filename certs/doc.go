// Package certs makes certificate authorities and the certificates that they
// sign: P-256 keys, random serial numbers, PEM in and out.
//
// It owns what a certificate of ours looks like. It must not know who uses
// one: no Kubernetes objects, no files, no names of our services.
package certs
