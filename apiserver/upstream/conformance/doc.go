// Package conformance states, as tests, what we rely on in an upstream server: one
// test for each observed statement about its gRPC interface, named after the
// section of our notes on the upstream (1.7 limits, 1.8 authentication, 1.9 error
// codes, 2.1 to 2.10 semantics).
//
// It speaks only gRPC to an address, so that the embedded server is not the judge
// of itself: the same tests run against a real ambient-api-server. Without an
// address the tests build and start the embedded server.
//
//	AMBIENT_CONFORMANCE_ADDRESS     host:port of a running server
//	AMBIENT_CONFORMANCE_TOKEN_FILE  file with the token of a service caller
//	AMBIENT_CONFORMANCE_CA_FILE     certificate authority (PEM); turns TLS on
//	AMBIENT_CONFORMANCE_CONTROL     host:port of the fault control interface
//
// With a foreign server, the tests that need a fault switch or a server of their
// own are skipped, and say so by name. Projects that the tests create there burn
// their names, which begin with "conformance-".
//
// Figures (delays, rates, shares of lost writes) are not asserted, only the
// behaviour that they come from. The package must not know how any server works.
package conformance
