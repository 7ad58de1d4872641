package model

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ambient-code/ambient-kube/hack/process"
)

// fault is one thing that goes wrong.
type fault struct {
	name string
	// settings are those of the upstream's control interface; they hold for half
	// of the time until the next fault.
	settings string
	// action happens once.
	action func(t *testing.T, c *conductor)
	// disturbing tells that calls fail because of it, ours among them: what we
	// remember of a write may be lost, and a repair may fail.
	disturbing bool
}

// leastFault is how long a fault lasts at least.
const leastFault = time.Second

// faults are all that the upstream may do wrong while it runs.
var faults = []fault{
	{name: "drop one event in three", settings: `{"dropEventOneIn":3}`},
	{name: "double every second event", settings: `{"duplicateEventOneIn":2}`},
	{name: "swap every second event with the next", settings: `{"reorderEventOneIn":2}`},
	{name: "delay events", settings: `{"eventDelay":"3s"}`},
	{name: "few events a second", settings: `{"eventsPerSecond":4}`},
	{name: "deliver old rows", settings: `{"messageDelay":"2s","messageDelayOneIn":3}`},
	{name: "silence", settings: `{"silent":true}`},
	{name: "end of all streams", action: func(t *testing.T, _ *conductor) { stand.Upstream.Act(t, "eof") }},
	{name: "GOAWAY", action: func(t *testing.T, _ *conductor) { stand.Upstream.Act(t, "goaway") }, disturbing: true},
	{name: "cut", action: func(t *testing.T, _ *conductor) { stand.Upstream.Act(t, "cut") }, disturbing: true},
	{name: "slow calls", settings: `{"callDelay":"300ms"}`},
	{name: "refused calls", settings: `{"failOneIn":4}`, disturbing: true},
	{name: "calls that end in an internal error", settings: `{"failOneIn":5,"failCode":"Internal"}`, disturbing: true},
	{name: "lost replies", settings: `{"loseReplyOneIn":3}`, disturbing: true},
	{name: "lost updates", settings: `{"updateWindow":"40ms","statusWindow":"40ms"}`},
	{name: "resurrection", settings: `{"statusWindow":"300ms"}`},
	{name: "lost updates that nobody tells of", settings: `{"updateWindow":"40ms","statusWindow":"40ms","silent":true}`},
	{name: "shuffled pages", settings: `{"shufflePages":true,"dropEventOneIn":2}`},
	{name: "lost rights", settings: `{"loseRights":true}`, disturbing: true},
	{name: "clock an hour back", settings: `{"clockStep":"-1h"}`},
	{name: "clock an hour ahead", settings: `{"clockStep":"1h"}`},
	{name: "oversized pages", settings: `{"oversizeBytes":6000000}`},
	{name: "another token", action: changeToken, disturbing: true},
}

// ends of processes: those of the short run, and those of every process.
var (
	ourEnds = []fault{
		{name: "kill of the upstream", action: end(func() *process.Process { return stand.Stack.Upstream }, true), disturbing: true},
		{name: "kill of our server", action: end(func() *process.Process { return stand.Stack.Extension }, true), disturbing: true},
	}
	allEnds = append([]fault{
		{name: "restart of the upstream", action: end(func() *process.Process { return stand.Stack.Upstream }, false), disturbing: true},
		{name: "restart of our server", action: end(func() *process.Process { return stand.Stack.Extension }, false), disturbing: true},
		{name: "kill of kube-apiserver", action: end(func() *process.Process { return stand.Stack.APIServer }, true), disturbing: true},
		{name: "restart of kube-apiserver", action: end(func() *process.Process { return stand.Stack.APIServer }, false), disturbing: true},
	}, ourEnds...)
)

// end kills or ends a process and starts it again.
func end(which func() *process.Process, kill bool) func(*testing.T, *conductor) {
	return func(t *testing.T, _ *conductor) {
		p := which()
		var err error
		if kill {
			err = p.Kill()
		} else {
			_, err = p.Terminate(t.Context())
		}
		if err != nil {
			t.Fatalf("ending %s: %v", p.Name(), err)
		}
		if err := p.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		revive(t)
	}
}

// revive starts our server again, as a kubelet does, if it has ended because it could
// not renew its lease while kube-apiserver was away.
func revive(t *testing.T) {
	select {
	case <-stand.Stack.Extension.Exited():
		if err := stand.Stack.Extension.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	default:
	}
}

func changeToken(t *testing.T, c *conductor) {
	stand.Upstream.ChangeToken(t, fmt.Sprintf("token-%d", c.random.Uint64()))
}

// conductor lets things go wrong, one after the other: each fault once in an
// order that the seed decides, then each in another order, and an end of a process
// every fourth time.
type conductor struct {
	model  *model
	random *rand.Rand
	ends   []fault
	deck   []fault
	last   []fault
	count  int
	// due changes with each tick.
	due bool
}

func newConductor(m *model, seed uint64, ends []fault) *conductor {
	return &conductor{model: m, random: rand.New(rand.NewPCG(seed, 200)), ends: ends}
}

func (c *conductor) next() fault {
	c.count++
	from, all := &c.deck, faults
	if c.count%4 == 2 {
		from, all = &c.last, c.ends
	}
	if len(*from) == 0 {
		*from = append([]fault(nil), all...)
		c.random.Shuffle(len(*from), func(i, j int) { (*from)[i], (*from)[j] = (*from)[j], (*from)[i] })
	}
	chosen := (*from)[0]
	*from = (*from)[1:]
	return chosen
}

// run begins a fault at every other tick and ends it at the next one.
func (c *conductor) run(t *testing.T, ticks <-chan struct{}) {
	calm := func() {}
	for range ticks {
		calm()
		calm = func() {}
		if c.due = !c.due; c.due {
			calm = c.begin(t, c.next())
			pause(t.Context(), leastFault)
		}
	}
	calm()
}

// begin begins a fault and returns how to end it.
func (c *conductor) begin(t *testing.T, f fault) (calm func()) {
	t.Logf("after %d operations: %s", c.model.operations(), f.name)
	c.model.note(f.name)
	undisturbed := func() {}
	if f.disturbing {
		undisturbed = c.model.disturb()
	}
	if f.action != nil {
		f.action(t, c)
		return undisturbed
	}
	stand.Upstream.Fault(t, f.settings)
	return func() {
		stand.Upstream.Heal(t)
		undisturbed()
	}
}

// operations is how many there have been.
func (m *model) operations() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.done
}
