// Package reconciler is the controller process: it takes the lead, watches the
// native API and the cluster, and runs the projections until it is told to end.
//
// It owns the wiring of informers, queues and projections, leader election,
// probes and metrics. It must not decide anything about a session, a project or
// settings itself; that is done by the packages below it.
package reconciler
