// Package agenticsession knows what the platform's custom resource
// AgenticSession looks like: how a Session is written into one, under which name,
// and what is read back from one.
//
// It owns the mapping and the keys of the protocol with the platform's operator.
// Everything in it is pure; it must not know clients, informers or queues.
package agenticsession
