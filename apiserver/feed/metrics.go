package feed

import "time"

// Metrics receives what a feed does.
type Metrics interface {
	// Event counts an event of the upstream's watch.
	Event(kind string)
	// Echo counts an event that told nothing new.
	Echo(kind string)
	// Reconnect counts the end of a stream.
	Reconnect(kind string)
	// Listing reports one listing of all pages: how long it took, whether it was
	// complete, and how many rows it corrected.
	Listing(kind string, took time.Duration, complete bool, repairs int)
}

type discard struct{}

func (discard) Event(string)                             {}
func (discard) Echo(string)                              {}
func (discard) Reconnect(string)                         {}
func (discard) Listing(string, time.Duration, bool, int) {}
