// Package phase decides what to do about a session: one table over the phase
// that the upstream holds, the absence or presence of its AgenticSession and the
// phase that this one is in.
//
// It owns the answer to who wins. Upstream phases Pending and Stopping are
// requests and go down, each once; otherwise what the operator reports goes up,
// and an end that was recorded is not undone by an older word of the same run.
// Everything here is pure: it must not know clients, clocks or objects.
package phase
