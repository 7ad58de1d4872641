// Package upstream owns the way to ambient-api-server: the connection with its
// TLS and credentials, the deadline of each call, failing fast while nobody
// answers, and the one table from gRPC codes to Kubernetes errors.
//
// It must not know Kubernetes objects, nor what the calls are made for: feeds
// and backends use the generated clients in Client and decide for themselves
// what is tried again.
package upstream
