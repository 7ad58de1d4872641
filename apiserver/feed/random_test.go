package feed

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

var seeds = flag.Uint64("seeds", 60, "number of runs with random faults")

// Random writers and faults: clients never see a row go back, nor the same
// content twice, nor a deletion that did not happen, and in the end they see
// what the upstream holds.
func TestRandomFaultsEndInAgreement(t *testing.T) {
	for seed := range *seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := newUpstream(ids("r", 60)...)
				within(t, u, func(o *Options) { o.PageSize = 7 }, func(t *testing.T, w *world) {
					defer w.run()()
					c := &chaos{world: w, random: seeded(seed), removed: map[string]bool{}}
					disturbedStart := seed%3 == 0
					if !disturbedStart {
						<-w.feed.Synced()
					}
					for range 400 {
						c.step()
						time.Sleep(time.Duration(c.random.IntN(60)) * time.Millisecond)
					}
					c.heal()
					time.Sleep(3 * time.Minute)
					w.agrees()
					w.inState(Live)
					w.clients.mu.Lock()
					defer w.clients.mu.Unlock()
					for id := range w.clients.withdrawn {
						// Before the first synchronisation nobody sees anything.
						if !c.removed[id] && !disturbedStart {
							t.Errorf("%s was withdrawn without ever having been deleted", id)
						}
					}
				})
			})
		})
	}
}

type chaos struct {
	*world
	random   *rand.Rand
	removed  map[string]bool
	database map[string]record
}

func (c *chaos) step() {
	if c.database != nil {
		// Nobody of ours writes to another database.
		if c.random.IntN(4) == 0 {
			c.exchange(c.database)
			c.database = nil
		}
		return
	}
	id := fmt.Sprintf("r%05d", c.random.IntN(80))
	switch c.random.IntN(27) {
	case 0, 1, 2, 3, 4, 5:
		c.write(id, fmt.Sprint("content ", c.random.IntN(3)))
	case 6, 7, 8:
		row := c.write(id, fmt.Sprint("ours ", c.random.IntN(3)))
		if c.random.IntN(2) == 0 {
			time.Sleep(time.Duration(c.random.IntN(20)) * time.Millisecond)
		}
		if err := c.feed.Observe(c.t.Context(), row); err != nil && c.getError == nil {
			c.t.Errorf("folding in an answer: %v", err)
		}
	case 9, 10:
		c.removed[id] = true
		c.remove(id)
	case 11:
		c.removed[id] = true
		c.remove(id)
		c.feed.Deleted(id)
	case 12:
		if err := c.feed.Refresh(c.t.Context(), id); err != nil {
			c.t.Logf("refreshing %s found nobody to vouch: %v", id, err)
		}
	case 13:
		c.do(func() { c.mute = !c.mute })
	case 14:
		c.do(func() { c.hold = true })
	case 15, 16:
		c.do(func() {
			c.random.Shuffle(len(c.held), func(i, j int) { c.held[i], c.held[j] = c.held[j], c.held[i] })
			c.held = append(c.held, c.held...)
		})
		c.releaseHeld()
	case 17:
		c.end(errEndOfStream)
	case 18:
		c.end(errDown)
	case 19:
		c.do(func() { c.latency = time.Duration(1+c.random.IntN(40)) * time.Millisecond })
	case 20:
		c.do(func() { c.miscount = c.random.IntN(2) })
	case 21:
		// What is there at first sight is believed, an empty world as well.
		c.do(func() { c.noRights = !c.noRights && c.feed.HasSynced() })
	case 22:
		c.do(func() { c.listError, c.getError, c.watchError = errDown, errDown, errDown })
	case 23, 24:
		c.do(func() { c.listError, c.getError, c.watchError = nil, nil, nil })
	case 25:
		if !c.feed.HasSynced() {
			return
		}
		foreign := map[string]record{}
		if c.random.IntN(2) == 0 {
			foreign = other(30)
			for id := range foreign {
				c.removed[id] = true
			}
		}
		c.database = c.exchange(maps.Clone(foreign))
	case 26:
		// Some two, four or six rows fit into a page, or all that are asked for.
		c.do(func() { c.limit = c.random.IntN(4) * 20 })
	}
}

// exchange puts another database behind the upstream, which is down meanwhile,
// for longer than any call takes.
func (c *chaos) exchange(rows map[string]record) (before map[string]record) {
	var list, get error
	c.do(func() {
		list, get = c.listError, c.getError
		c.listError, c.getError = errDown, errDown
	})
	c.end(errDown)
	time.Sleep(100 * time.Millisecond)
	before = c.swap(rows)
	c.do(func() { c.listError, c.getError = list, get })
	return before
}

// heal ends every fault. A limit of pages is none.
func (c *chaos) heal() {
	if c.database != nil {
		c.exchange(c.database)
	}
	c.do(func() {
		c.mute, c.noRights, c.miscount, c.latency = false, false, 0, 5*time.Millisecond
		c.listError, c.getError, c.watchError = nil, nil, nil
	})
	c.releaseHeld()
}
