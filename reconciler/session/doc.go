// Package session projects Sessions into AgenticSessions and carries back what
// the operator says of them.
//
// It owns one pass over one session: look, decide by the table of package phase,
// confirm what could do harm by asking the API servers again, act, report. Both
// directions are one pass of one key, so that they can't work against each other.
// It must not know how keys are queued, nor how namespaces come to be.
package session
