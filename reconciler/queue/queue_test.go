package queue

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

// start runs a queue until the test ends.
func start[K comparable](t *testing.T, options Options, reconcile Reconcile[K]) *Queue[K] {
	t.Helper()
	q := New(options, reconcile)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); q.Run(ctx, context.Background()) }()
	t.Cleanup(func() { cancel(); <-done })
	return q
}

// eventually fails the test unless the condition comes true.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestAStoppedQueueLeavesNothingBehind(t *testing.T) {
	reconcile := func(context.Context, string) (time.Duration, error) { return 0, nil }
	ended, end := context.WithCancel(t.Context())
	end()
	for name, use := range map[string]func(q *Queue[string]){
		"never run":        func(*Queue[string]) {},
		"run":              func(q *Queue[string]) { q.Run(ended, context.Background()) },
		"stopped before":   (*Queue[string]).Stop,
		"with keys in it":  func(q *Queue[string]) { q.Add("now"); q.AddAfter("later", time.Hour) },
		"run when stopped": func(q *Queue[string]) { q.Stop(); q.Run(ended, context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			q := New(Options{Name: "test", Workers: 2, Metrics: NewMetrics(prometheus.NewRegistry())}, reconcile)
			use(q)
			q.Stop()
			q.Add("too late")
			goleak.VerifyNone(t, before)
		})
	}
}

func TestFailuresAreRetriedUntilTheyEnd(t *testing.T) {
	var mutex sync.Mutex
	passes := 0
	settled := make(chan struct{})
	q := start(t, Options{Name: "test", Workers: 1, BaseDelay: time.Millisecond, MaxDelay: 2 * time.Millisecond},
		func(context.Context, string) (time.Duration, error) {
			mutex.Lock()
			defer mutex.Unlock()
			if passes++; passes < 40 {
				return 0, errors.New("not yet")
			}
			close(settled)
			return 0, nil
		})
	q.Add("a")
	<-settled
	eventually(t, "a settled key has no age", func() bool { return q.Age() == 0 })
}

func TestAKeyIsNeverWorkedOnTwiceAtATimeAndItsLastChangeIsSeen(t *testing.T) {
	var mutex sync.Mutex
	level, seen, busy := 0, 0, false
	q := start(t, Options{Name: "test", Workers: 8}, func(context.Context, string) (time.Duration, error) {
		mutex.Lock()
		if busy {
			t.Error("two workers on one key")
		}
		busy = true
		now := level
		mutex.Unlock()
		runtime.Gosched()
		mutex.Lock()
		defer mutex.Unlock()
		busy = false
		seen = now
		return 0, nil
	})
	for range 1000 {
		mutex.Lock()
		level++
		mutex.Unlock()
		q.Add("a")
	}
	eventually(t, "the last change is seen", func() bool { mutex.Lock(); defer mutex.Unlock(); return seen == 1000 })
}

func TestAStuckKeyDoesNotHoldUpOthers(t *testing.T) {
	release := make(chan struct{})
	others := make(chan string, 10)
	q := start(t, Options{Name: "test", Workers: 2}, func(_ context.Context, key string) (time.Duration, error) {
		if key == "stuck" {
			<-release
			return 0, nil
		}
		others <- key
		return 0, nil
	})
	q.Add("stuck")
	for range 10 {
		q.Add("other")
		<-others
	}
	if q.Age() <= 0 {
		t.Error("a stuck key has no age")
	}
	close(release)
}

func TestShutdownFinishesThePassUnderWayAndStartsNoOther(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var passes []string
	q := New(Options{Name: "test", Workers: 1}, func(work context.Context, key string) (time.Duration, error) {
		passes = append(passes, key)
		close(entered)
		<-leave
		if err := work.Err(); err != nil {
			t.Errorf("the context of a pass under way ended: %v", err)
		}
		return 0, nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); q.Run(ctx, context.Background()) }()
	q.Add("first")
	<-entered
	q.Add("second")
	cancel()
	close(leave)
	<-done
	if !slices.Equal(passes, []string{"first"}) {
		t.Errorf("passes over %v, want first only", passes)
	}
}

func TestBackoffGrowsUpToItsCapAndIsSpread(t *testing.T) {
	b := &backoff[string]{base: 20 * time.Millisecond, max: time.Minute, failures: map[string]int{}}
	last := time.Duration(0)
	for range 100 {
		pause := b.When("a")
		if pause > 75*time.Second {
			t.Fatalf("pause of %s beyond the cap and its jitter", pause)
		}
		last = pause
	}
	if last < time.Minute {
		t.Errorf("after 100 failures the pause is %s, want the cap", last)
	}
	if pause := b.When("b"); pause > 25*time.Millisecond {
		t.Errorf("another key waits %s: keys must back off separately", pause)
	}
	b.Forget("a")
	if pause := b.When("a"); pause > 25*time.Millisecond {
		t.Errorf("after success the pause is %s, want to start over", pause)
	}
}

func TestMetricsShowDepthAgeAndRetries(t *testing.T) {
	registry := prometheus.NewRegistry()
	done := make(chan struct{})
	passes := 0
	q := start(t, Options{Name: "things", Workers: 1, BaseDelay: time.Millisecond, Metrics: NewMetrics(registry)},
		func(context.Context, string) (time.Duration, error) {
			if passes++; passes == 1 {
				return 0, errors.New("once")
			}
			close(done)
			return 0, nil
		})
	q.Add("a")
	<-done
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		metric := family.GetMetric()[0]
		values[family.GetName()] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
	}
	for _, name := range []string{"depth", "oldest_unsettled_seconds", "wait_seconds", "work_seconds"} {
		if _, found := values["ambient_kube_reconciler_queue_"+name]; !found {
			t.Errorf("no metric for %s", name)
		}
	}
	if retries := values["ambient_kube_reconciler_queue_retries_total"]; retries != 1 {
		t.Errorf("%v retries counted, want 1", retries)
	}
}
