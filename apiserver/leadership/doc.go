// Package leadership decides which replica serves: the one that holds a Lease.
//
// It owns the election, the gate in front of the resources, and the label by which
// a Service finds the pod that serves. It must not know what is served.
//
// # Why one
//
// Resource versions are given out by the process that serves. Two of them at a time
// would be two spaces of versions, and a client that listed here and watched there
// would lose events without a word. So even a single replica takes the Lease: a
// roll-out starts the new process before the old one has ended.
//
// # What is left behind
//
// A process that was killed may have asked the upstream for a creation that is
// committed after its death. The Lease says how long that may take, in the
// annotation UnsettledAnnotation; one that is released in order says that there is
// nothing to wait for.
package leadership
