// Package webhook answers kube-apiserver's questions whether a change may be
// made: an AgenticSession that is projected from a Session is changed there, and
// the namespace of a project is not deleted while the project exists.
//
// It owns the paths, the answers and the server, but not its certificate. Every
// process serves, whoever leads: an answer needs nothing but the question and
// one look at the native API. It must not know queues or informers.
//
// Whoever reaches the server may ask, as kube-apiserver shows no certificate;
// all that is to be learnt is whether a project exists.
package webhook
