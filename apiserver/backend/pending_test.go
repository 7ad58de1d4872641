package backend

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestDecision5ANameStaysReservedUntilAListingTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pending := newPendingCreates()
		began := time.Now()
		if !pending.settle("a", time.Time{}) {
			t.Error("a name is reserved that nobody asked for")
		}
		time.Sleep(time.Second)
		pending.add("a")
		for _, listed := range []time.Time{{}, began, time.Now()} {
			if pending.settle("a", listed) {
				t.Errorf("a listing that began at %s settled a creation after it", listed)
			}
		}
		if !pending.settle("b", began) {
			t.Error("one name reserves another")
		}
		if !pending.settle("a", time.Now().Add(time.Millisecond)) {
			t.Error("a later listing settles nothing")
		}
		if !pending.settle("a", began) {
			t.Error("a name that was released is reserved again")
		}
	})
}
