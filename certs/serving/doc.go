// Package serving has the certificate that a server of ours shows: one that is
// made here and renewed in time, signed by an authority of our own that
// kube-apiserver is told of, or one in files that somebody else replaces.
//
// It owns the options, the choice between the two, and the metrics. Whoever serves
// sees a Source and does not know which it is. It must not know what is served.
package serving
