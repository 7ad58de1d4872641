package brake

import (
	"fmt"
	"testing"
	"time"
)

// bench drives a brake with a clock of its own.
type bench struct {
	*Brake
	now   time.Time
	total int
	shown []Set
}

func newBench(total int, limits Limits) *bench {
	b := &bench{now: time.Unix(0, 0), total: total}
	b.Brake = New(Options{
		Limits: limits, Settle: 2 * time.Second, Total: func() int { return b.total },
		Tripped: func(set Set) { b.shown = append(b.shown, set) }, Now: func() time.Time { return b.now },
	})
	return b
}

// remove reports the objects from..to-1 as absent, as passes do: once, and again
// after the pause. It returns how many of them may be removed.
func (b *bench) remove(from, to int) int {
	for i := from; i < to; i++ {
		b.Absent(name(i))
	}
	b.now = b.now.Add(3 * time.Second)
	allowed := 0
	for i := from; i < to; i++ {
		if ok, _ := b.Absent(name(i)); ok {
			allowed++
		}
	}
	return allowed
}

func name(i int) string { return fmt.Sprintf("object-%03d", i) }

var limits = Limits{Window: time.Minute, Most: 50, Least: 10, Share: 0.2}

func TestDecision22HowManyPassUnasked(t *testing.T) {
	for _, test := range []struct {
		name          string
		absent, total int
		wantAllowed   int
	}{
		{"a few of a few", 9, 9, 9},
		{"ten of many", 10, 50, 10},
		{"ten that are over a fifth", 10, 49, 0},
		{"fifty of very many", 50, 1000, 50},
		{"more than fifty of however many", 51, 100000, 0},
		{"all of them", 12, 12, 0},
	} {
		b := newBench(test.total, limits)
		if got := b.remove(0, test.absent); got != test.wantAllowed {
			t.Errorf("%s: %d removals allowed, want %d", test.name, got, test.wantAllowed)
		}
		if tripped := len(b.shown) > 0; tripped != (test.wantAllowed == 0) {
			t.Errorf("%s: a person was shown %v", test.name, b.shown)
		}
	}
}

func TestNothingIsJudgedBeforeTheRestHasCome(t *testing.T) {
	b := newBench(1000, limits)
	if allowed, again := b.Absent("first"); allowed || again <= 0 {
		t.Errorf("the first absence was judged at once: %t, %s", allowed, again)
	}
}

func TestRemovalsAddUpWithinTheWindow(t *testing.T) {
	b := newBench(1000, limits)
	for round := range 5 {
		if got := b.remove(round*10, round*10+10); got != 10 {
			t.Fatalf("round %d: %d allowed", round, got)
		}
	}
	if got := b.remove(50, 51); got != 0 {
		t.Error("the fifty-first removal within a minute passed")
	}
	later := newBench(1000, limits)
	later.remove(0, 50)
	later.now = later.now.Add(2 * time.Minute)
	if got := later.remove(50, 100); got != 50 {
		t.Errorf("%d allowed after the window, want 50", got)
	}
}

func TestNamespacesPassOneByOne(t *testing.T) {
	b := newBench(100, Limits{Window: 10 * time.Minute, Most: 1, Least: 2})
	if got := b.remove(0, 1); got != 1 {
		t.Error("the first namespace was held back")
	}
	if got := b.remove(1, 2); got != 0 {
		t.Error("a second namespace passed within ten minutes")
	}
}

func TestDecision22APersonLetsGoExactlyWhatWasShown(t *testing.T) {
	b := newBench(60, limits)
	b.remove(0, 20)
	shown := b.shown[len(b.shown)-1]
	if len(shown.Names) != 20 {
		t.Fatalf("%d objects shown, want 20", len(shown.Names))
	}
	if b.Approve("something else") != 0 {
		t.Error("another hash let something go")
	}
	b.remove(20, 21) // one more turns out to be absent
	if b.Approve(shown.Hash()) != 0 {
		t.Error("a set was let go that nobody was shown")
	}
	shown = b.shown[len(b.shown)-1]
	if got := b.Approve(shown.Hash()); got != 21 {
		t.Errorf("%d let go, want 21", got)
	}
	if got := b.remove(0, 21); got != 21 {
		t.Errorf("%d of what was let go may be removed, want 21", got)
	}
	if last := b.shown[len(b.shown)-1]; len(last.Names) != 0 {
		t.Errorf("still shown as held back: %v", last.Names)
	}
}

func TestTrippedBeforeARestartItStaysTripped(t *testing.T) {
	b := newBench(1000, limits)
	b.Trip()
	if got := b.remove(0, 2); got != 0 {
		t.Error("removals passed a brake that was tripped")
	}
	if b.Release() {
		t.Error("let go although something is held back")
	}
	b.Present(name(0))
	b.Present(name(1))
	if got := b.remove(2, 4); got != 2 {
		t.Error("still tripped after everything came back")
	}
}

func TestReleasedWhenNothingIsAbsentAfterARestart(t *testing.T) {
	b := newBench(1000, limits)
	b.Trip()
	if !b.Release() {
		t.Error("not released")
	}
	if got := b.remove(0, 2); got != 2 {
		t.Error("still tripped")
	}
}

// Each set that is shown is written where a person reads it, and to find it out takes
// time in which every pass waits.
func TestAPersonIsNotShownEveryStepOfTheWayBack(t *testing.T) {
	const count = 300
	b := newBench(count, limits)
	b.remove(0, count)
	if len(b.shown) != 1 || len(b.shown[0].Names) != count {
		t.Fatalf("shown were %d sets", len(b.shown))
	}
	for i := range count - 1 {
		b.Present(name(i))
	}
	if len(b.shown) > 2 {
		t.Errorf("%d sets shown within a moment", len(b.shown))
	}
	b.remove(count-1, count)
	if last := b.shown[len(b.shown)-1]; len(last.Names) != 1 {
		t.Errorf("%d objects shown, want the one that is left", len(last.Names))
	}
	b.Present(name(count - 1))
	if last := b.shown[len(b.shown)-1]; len(last.Names) != 0 {
		t.Errorf("still shown as held back: %v", last.Names)
	}
}

func TestWhatIsHeldBackAsksTheLessTheMoreThereIs(t *testing.T) {
	b := newBench(100000, limits)
	if _, again := b.Absent(name(0)); again != 2*time.Second {
		t.Errorf("one asks again after %s", again)
	}
	b.remove(0, 5000)
	if _, again := b.Absent(name(0)); again != 30*time.Second {
		t.Errorf("one of thousands asks again after %s", again)
	}
}

func BenchmarkHeldBackAndBack(b *testing.B) {
	const count = 20000
	for b.Loop() {
		held := newBench(count, limits)
		held.remove(0, count)
		held.remove(0, count)
		for i := range count {
			held.Present(name(i))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count, "ns/object")
}
