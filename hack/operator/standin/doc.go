// Package standin plays the platform's operator where the platform isn't
// installed: in tests, demos and on the local stand. It makes no pods, yet seen
// through the Kubernetes API it behaves as the operator does, its traps
// included, because those traps are what a projection of sessions has to live
// with:
//
//   - a namespace without label ambient-code.io/managed=true is ignored, and the
//     event that was ignored does not come back;
//   - the first pass sets status.startTime, and a later pass that finds one
//     takes the run for a resume: where the runner secret came late, the prompt
//     is never sent;
//   - it writes whole objects by Get, UpdateStatus and Update, so that it meets
//     conflicts and other writers race with it;
//   - a temperature that JSON spells without a fraction is read as 0;
//   - a desired phase of Running on a session that already runs stays where it
//     is, and starts the session again once it ends.
//
// It falls short of the operator in this: no objects but ProjectSettings and its
// own ConfigMaps are made (no pods, role bindings, tokens), no runner is asked,
// so that repositories and workflow are reconciled at once when the runner
// starts, nothing stops for inactivity by itself, and Vertex can't be on. It
// spares a request that came while it finished the one before, unless
// Options.ClearBlindly is set.
//
// Next, a pure function, holds all transitions; the rest of the package reads
// what Next needs and writes what it decides. What the platform would leave in
// pods is kept where a test can see it: see Launches. What a runner does in its
// pod is told by a script: see Outcome.
//
// The package knows Kubernetes APIs only. It must not know the upstream, nor
// this project's API server or reconciler.
package standin
