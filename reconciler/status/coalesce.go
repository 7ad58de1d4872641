package status

import (
	"sync"
	"time"
)

// Coalescer gathers changes that follow each other closely into one write.
type Coalescer[K comparable] struct {
	window time.Duration
	now    func() time.Time

	mutex sync.Mutex
	due   map[K]time.Time
}

// NewCoalescer returns a Coalescer that holds changes back for window at most.
func NewCoalescer[K comparable](window time.Duration, now func() time.Time) *Coalescer[K] {
	return &Coalescer[K]{window: window, now: now, due: map[K]time.Time{}}
}

// Note records a change and returns after which time it is due.
func (c *Coalescer[K]) Note(key K) time.Duration {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	due, waiting := c.due[key]
	if !waiting {
		due = c.now().Add(c.window)
		c.due[key] = due
	}
	return due.Sub(c.now())
}

// Wait returns how long a write has still to wait. If it need not, the changes
// noted so far count as written.
func (c *Coalescer[K]) Wait(key K) time.Duration {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	due, waiting := c.due[key]
	if !waiting {
		return 0
	}
	if left := due.Sub(c.now()); left > 0 {
		return left
	}
	delete(c.due, key)
	return 0
}

// Forget drops what is known of the key.
func (c *Coalescer[K]) Forget(key K) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	delete(c.due, key)
}
