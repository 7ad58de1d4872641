// Package brake stops removals that are inferred from absence when they are many:
// an upstream that lists nothing looks like one where everything was deleted.
//
// It owns the counting and the memory of what a person was shown. It must not
// know what is removed, nor how a person is asked.
package brake

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits say how many removals pass unasked within Window.
type Limits struct {
	Window time.Duration
	// Most is the greatest number that passes whatever the total.
	Most int
	// Share is the greatest share of the total that passes; it is not looked at
	// below Least removals.
	Share float64
	Least int
}

// Options say how a Brake works.
type Options struct {
	Limits Limits
	// Settle is how long to wait for more absences before the first is judged:
	// they come together, and are judged together.
	Settle time.Duration
	// Total returns how many objects of the kind there are.
	Total func() int
	// Tripped, if set, is told of the set that is held back, each time that it
	// changes. An empty set means that nothing is held back any more.
	Tripped func(set Set)
	// Now returns the time.
	Now func() time.Time
}

// Set is what a person is shown, and decides upon.
type Set struct {
	// Names are the objects whose removal is held back, in order.
	Names []string
}

// Hash identifies exactly this set.
func (s Set) Hash() string {
	sum := sha256.Sum256([]byte(strings.Join(s.Names, "\n")))
	return hex.EncodeToString(sum[:])[:16]
}

// Brake counts removals of one kind.
type Brake struct {
	options Options

	mutex sync.Mutex
	// suspects are the objects whose source is absent, with the time at which
	// that was first seen; last is when the newest of them was.
	suspects map[string]time.Time
	last     time.Time
	// allowed are those that may be removed, and released the times at which
	// they were allowed unasked.
	allowed  map[string]bool
	released []time.Time
	tripped  bool
	shown    string
	// moved is true if the suspects may be others than those shown, and looked when
	// that was last looked at.
	moved  bool
	looked time.Time
}

// New returns a Brake.
func New(options Options) *Brake {
	return &Brake{options: options, suspects: map[string]time.Time{}, allowed: map[string]bool{}}
}

// Absent says that the source of the named object is absent, and returns whether
// the object may be removed; if not, after which time to ask again.
func (b *Brake) Absent(name string) (bool, time.Duration) {
	b.mutex.Lock()
	set, changed := b.absent(name)
	allowed, again := b.allowed[name], b.pause()
	b.mutex.Unlock()
	if changed && b.options.Tripped != nil {
		b.options.Tripped(set)
	}
	return allowed, again
}

// pause is the time between two questions about an object that is held back. Where
// many are, a person has to decide, and that takes longer than any pause.
func (b *Brake) pause() time.Duration {
	const many, longest = 100, 15
	times := min(max(len(b.suspects)/many, 1), longest)
	return max(b.options.Settle*time.Duration(times), 100*time.Millisecond)
}

func (b *Brake) absent(name string) (Set, bool) {
	now := b.options.Now()
	if b.allowed[name] {
		return Set{}, false
	}
	if _, known := b.suspects[name]; !known {
		b.suspects[name] = now
		b.last = now
		b.moved = true
	}
	if now.Sub(b.last) < b.options.Settle {
		return Set{}, false
	}
	if !b.tripped && !b.exceeds(now) {
		for suspect := range b.suspects {
			b.allowed[suspect] = true
			b.released = append(b.released, now)
		}
		clear(b.suspects)
		return Set{}, false
	}
	b.tripped = true
	return b.show(now)
}

// exceeds tells whether allowing all suspects would be too much within the
// window.
func (b *Brake) exceeds(now time.Time) bool {
	b.released = slices.DeleteFunc(b.released, func(at time.Time) bool { return now.Sub(at) > b.options.Limits.Window })
	count := len(b.suspects) + len(b.released)
	if count > b.options.Limits.Most {
		return true
	}
	// What was removed already belongs to the total that the share is of.
	total := b.options.Total() + len(b.released)
	return count >= b.options.Limits.Least && float64(count) > b.options.Limits.Share*float64(total)
}

// show returns the set that is held back, if it is another than the one shown last.
// To look takes time, and everything waits: where nothing can have changed it is not
// done, nor more often than each Settle unless nothing is held back any more.
func (b *Brake) show(now time.Time) (Set, bool) {
	if !b.moved || len(b.suspects) > 0 && now.Sub(b.looked) < b.options.Settle {
		return Set{}, false
	}
	b.moved, b.looked = false, now
	set := b.held()
	if hash := set.Hash(); hash != b.shown {
		b.shown = hash
		return set, true
	}
	return set, false
}

func (b *Brake) held() Set {
	var set Set
	for name := range b.suspects {
		set.Names = append(set.Names, name)
	}
	slices.Sort(set.Names)
	return set
}

// Present says that the source of the named object is there, or the object gone.
func (b *Brake) Present(name string) {
	b.mutex.Lock()
	_, suspected := b.suspects[name]
	delete(b.suspects, name)
	delete(b.allowed, name)
	var set Set
	changed := false
	if suspected && b.tripped {
		b.tripped = len(b.suspects) > 0
		b.moved = true
		set, changed = b.show(b.options.Now())
	}
	b.mutex.Unlock()
	if changed && b.options.Tripped != nil {
		b.options.Tripped(set)
	}
}

// Trip holds everything back from now on, as before a restart.
func (b *Brake) Trip() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.tripped = true
}

// Release lets go if nothing is held back, and returns whether it did.
func (b *Brake) Release() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if !b.tripped || len(b.suspects) > 0 {
		return false
	}
	b.tripped = false
	return true
}

// Approve allows the removal of exactly the set with the hash, and returns how
// many objects that are; none if the set is another one by now.
func (b *Brake) Approve(hash string) int {
	b.mutex.Lock()
	set := b.held()
	if !b.tripped || len(set.Names) == 0 || set.Hash() != hash {
		b.mutex.Unlock()
		return 0
	}
	for _, name := range set.Names {
		b.allowed[name] = true
	}
	clear(b.suspects)
	b.tripped, b.moved = false, true
	empty, changed := b.show(b.options.Now())
	b.mutex.Unlock()
	if changed && b.options.Tripped != nil {
		b.options.Tripped(empty)
	}
	return len(set.Names)
}

// Held returns what is held back, and whether the brake is tripped.
func (b *Brake) Held() (Set, bool) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.held(), b.tripped
}
