// Package ambientv1 holds the wire messages and gRPC stubs of ambient-api-server
// (protobuf package ambient.v1), generated from the .proto files beside this
// file by `go run ./hack/protogen`.
//
// It owns field numbers, types and optionality and nothing else: it must not
// know Kubernetes, our own types, or how the upstream behaves.
package ambientv1
