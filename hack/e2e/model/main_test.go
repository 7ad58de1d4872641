// Package model proves promises 1 to 3 by trying hard to break them: writers on
// both sides, faults of the upstream and ends of processes come in an order that
// a seed decides, while informers and raw watches look on; a model knows what
// must be true of each moment and of the end.
//
// A seeded random source alone decides what each writer does and which fault
// comes when; the clock only paces it. AMBIENT_KUBE_MODEL_SEED repeats the
// decisions of a run, AMBIENT_KUBE_MODEL_OPERATIONS sets its length.
package model

import (
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ambient-code/ambient-kube/hack/controlplane"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

var stand *harness.Stand

func TestMain(m *testing.M) {
	without := []string{stack.OperatorName, stack.ReconcilerName, controlplane.ControllerManagerName}
	os.Exit(harness.Main(m, harness.Options{
		Stack:   stack.Options{Without: without},
		Allowed: harness.Outages(),
	}, func(s *harness.Stand) { stand = s }))
}

const (
	// shortRun is the length of a run in `make test`; longRuns have fewer faults
	// for their length, and end every process.
	shortRun = 500
	longRun  = 2000
	// shortRhythm and longRhythm are after how many operations a fault comes.
	shortRhythm = 50
	longRhythm  = 100
)

// setting returns a number from the environment.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	value, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("reading %s: %v", name, err)
	}
	return value
}

func TestWhateverHappensAllSidesAgreeInTheEnd(t *testing.T) {
	stand.NeedsEmbeddedUpstream(t)
	seed := setting(t, "AMBIENT_KUBE_MODEL_SEED", uint64(time.Now().UnixNano()%1_000_000))
	operations := int(setting(t, "AMBIENT_KUBE_MODEL_OPERATIONS", shortRun))
	t.Logf("AMBIENT_KUBE_MODEL_SEED=%d AMBIENT_KUBE_MODEL_OPERATIONS=%d repeats this run's decisions", seed, operations)
	rhythm, ends := shortRhythm, ourEnds
	if operations >= longRun {
		rhythm, ends = longRhythm, allEnds
	}
	m := newModel(stand.NewProject(t))
	lookers := startLookers(t, m, seed)

	ticks := make(chan struct{})
	var writing errgroup.Group
	share := operations / (ourWriters + theirWriters)
	m.every(rhythm/2, func() { ticks <- struct{}{} })
	for i := range ourWriters {
		writing.Go(func() error { return newOurs(m, seed, i).run(t.Context(), share) })
	}
	for i := range theirWriters {
		writing.Go(func() error { return newTheirs(m, seed, i).run(t.Context(), share) })
	}
	ended := make(chan error, 1)
	go func() {
		ended <- writing.Wait()
		close(ticks)
	}()
	newConductor(m, seed, ends).run(t, ticks)
	err := <-ended

	m.verify(t, lookers)
	if err := errors.Join(err, lookers.stop()); err != nil {
		t.Error(err)
	}
	m.report(t)
}
