// Package gitops proves that tools which keep a cluster as Git says can keep ours:
// its tests drive the libraries that Flux is built on (fluxcd/pkg/ssa, and kstatus in
// fluxcd/cli-utils) and run the Lua of docs/gitops.md as Argo CD does.
//
// It is a module of its own, whose dependencies the main module's must not meet.
// Argo CD's own library, argoproj/gitops-engine, can't be had beside them: its
// modules pin Kubernetes libraries of other versions. The tests need a running
// system, which hack/e2e/gitops starts; that is how they run in make test.
package gitops
