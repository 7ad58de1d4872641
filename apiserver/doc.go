// Package apiserver is the aggregated API server of the group ambient.io:
// options become a config, a config becomes a server (in the shape of the
// sample API server), a server runs until its context ends.
//
// It wires the rooms below it and owns what concerns them all: admission,
// probes, metrics and the guards around namespaces.
package apiserver
