package backend

import (
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestTheOldestClaimantBearsTheName(t *testing.T) {
	name := types.NamespacedName{Namespace: "team", Name: "fix"}
	other := types.NamespacedName{Namespace: "team", Name: "other"}
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
	var c claims

	if changed := c.claim(name, claimant{"young", at(20)}); len(changed) != 0 {
		t.Fatalf("the first claim displaced %v", changed)
	}
	if changed := c.claim(name, claimant{"old", at(10)}); !slices.Equal(changed, []string{"young"}) {
		t.Fatalf("an older claim displaced %v, want the younger one", changed)
	}
	if changed := c.claim(name, claimant{"twin", at(20)}); !slices.Equal(changed, []string{"old"}) {
		t.Fatalf("a claim that loses tells %v, want the holder to learn that the name is contested", changed)
	}
	if !c.holds(name, "old") || c.holds(name, "young") || c.holds(name, "twin") {
		t.Fatal("not exactly the oldest holds the name")
	}
	if changed := c.claim(other, claimant{"old", at(10)}); !slices.Equal(changed, []string{"twin"}) {
		t.Fatalf("after the oldest left, %v moved up, want the one with the lower id of the same age", changed)
	}
	if changed := c.release("young"); !slices.Equal(changed, []string{"twin"}) || c.contested(name) {
		t.Fatalf("the end of a losing claim tells %v, want the holder to learn that the name is its own", changed)
	}
	if changed := c.release("twin"); len(changed) != 0 || len(c.byName[name]) != 0 {
		t.Fatal("a name that nobody claims is still remembered")
	}
}

func TestAClaimThatIsRepeatedChangesNothing(t *testing.T) {
	name := types.NamespacedName{Name: "fix"}
	var c claims
	c.claim(name, claimant{"a", time.Unix(1, 0)})
	c.claim(name, claimant{"b", time.Unix(2, 0)})
	if changed := c.claim(name, claimant{"a", time.Unix(1, 0)}); len(changed) != 0 {
		t.Fatalf("a repeated claim displaced %v", changed)
	}
	if got := len(c.byName[name]); got != 2 {
		t.Fatalf("%d claimants after a repeated claim, want 2", got)
	}
}
