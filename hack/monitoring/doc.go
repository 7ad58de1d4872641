// Package monitoring proves the rules and the dashboard of
// manifests/components/monitoring with Prometheus's own engine: each alert fires when
// it should and not before, and everything that they ask for is in what our programs
// really serve.
//
// It is a module of its own, whose dependencies the main module's must not meet. The
// tests need what Prometheus would read of a running system, which hack/e2e/flow gives
// them; that is how they run in make test.
package monitoring
