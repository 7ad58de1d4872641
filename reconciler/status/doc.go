// Package status says what the status of a Session should be, given its
// AgenticSession and what was decided about its phase, and how it is applied.
//
// It owns the mapping from the operator's status to ours and the rule that
// nothing is written that is there already. Status is applied by one field
// manager with its full set: a field left out is a field taken away, so that
// everything that this package does not decide is repeated as it was read. It
// must not decide phases, and knows no clients.
package status
