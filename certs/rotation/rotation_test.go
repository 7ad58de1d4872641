package rotation

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/ambient-code/ambient-kube/certs"
)

const (
	day    = 24 * time.Hour
	settle = time.Minute
)

func newPolicy() (Policy, *clocktesting.FakePassiveClock) {
	clock := clocktesting.NewFakePassiveClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	return Policy{Name: "ours", AuthorityLifetime: 360 * day, LeafLifetime: 7 * day, Settle: settle, Clock: clock}, clock
}

func begin(t *testing.T, policy Policy, before certs.Bundle) *State {
	t.Helper()
	state, err := New(policy, before)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func advance(t *testing.T, state *State, policy Policy, requested bool, want ...string) {
	t.Helper()
	steps, err := state.Advance(policy, requested)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(steps, want) {
		t.Fatalf("steps %v, want %v", steps, want)
	}
}

func reread(t *testing.T, state *State, policy Policy) *State {
	t.Helper()
	data, err := state.Encode(map[string][]byte{"other": []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	if string(data["other"]) != "x" {
		t.Error("what others keep beside it is lost")
	}
	again, err := Decode(data, policy)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// Between any two steps, the state is written down and read again: whoever goes on
// is another replica.
func TestTheThreeSteps(t *testing.T) {
	policy, clock := newPolicy()
	state := begin(t, policy, nil)
	first := state.Signing().Certificate()
	advance(t, state, policy, false)
	if due, want := state.Due(), clock.Now().Add(240*day); !due.Equal(want) {
		t.Fatalf("due %v, want at two thirds, %v", due, want)
	}

	clock.SetTime(state.Due())
	state = reread(t, state, policy)
	advance(t, state, policy, false, "prepared")
	if !state.Signing().Certificate().Equal(first) || len(state.Bundle()) != 2 {
		t.Fatal("the next authority is not trusted beside the first one, which signs")
	}

	state = reread(t, state, policy)
	clock.SetTime(clock.Now().Add(settle - time.Second))
	advance(t, state, policy, false)
	clock.SetTime(state.Due())
	advance(t, state, policy, false, "signing")
	second := state.Signing().Certificate()
	if second.Equal(first) || !state.Bundle().Covers(certs.Bundle{first, second}) {
		t.Fatal("the next authority does not sign while the first one is trusted")
	}

	state = reread(t, state, policy)
	// Somebody signed with the first one until the last moment.
	clock.SetTime(clock.Now().Add(policy.LeafLifetime))
	advance(t, state, policy, false)
	if !state.Bundle().Covers(certs.Bundle{first}) {
		t.Fatal("the first authority is not trusted although its last certificate may be in use")
	}
	clock.SetTime(state.Due())
	state = reread(t, state, policy)
	advance(t, state, policy, false, "dropped")
	if bundle := state.Bundle(); len(bundle) != 1 || !bundle[0].Equal(second) {
		t.Fatalf("%d authorities are trusted, want the second one", len(bundle))
	}
	if policy, _ := newPolicy(); !reread(t, state, policy).Signing().Certificate().Equal(second) {
		t.Error("what signs is lost")
	}
}

func TestARotationOnRequest(t *testing.T) {
	policy, clock := newPolicy()
	state := begin(t, policy, nil)
	advance(t, state, policy, true, "prepared")
	if !state.Rotating() {
		t.Error("nothing waits to sign")
	}
	// It is on its way.
	advance(t, state, policy, true)
	clock.SetTime(state.Due())
	advance(t, state, policy, false, "signing")
	// The next one need not wait until the last one is over.
	advance(t, state, policy, true, "prepared")
	clock.SetTime(state.Due())
	advance(t, state, policy, false, "signing")
	if got := len(reread(t, state, policy).Bundle()); got != 3 {
		t.Errorf("%d authorities are trusted, want 3", got)
	}
}

func TestAnExpiredAuthorityIsReplacedAtOnce(t *testing.T) {
	policy, clock := newPolicy()
	state := begin(t, policy, nil)
	first := state.Signing().Certificate()
	clock.SetTime(first.NotAfter)
	advance(t, state, policy, false, "begun anew")
	if state.Signing().Certificate().Equal(first) || len(state.Bundle()) != 1 {
		t.Error("the expired authority is in use")
	}

	// With the next one waiting, that one signs.
	advance(t, state, policy, true, "prepared")
	clock.SetTime(state.Signing().NotAfter())
	waiting, err := certs.NewAuthority("ours", certs.WithClock(clock.Now), certs.WithLifetime(policy.AuthorityLifetime))
	if err != nil {
		t.Fatal(err)
	}
	state.next = waiting
	next := waiting.Certificate()
	advance(t, state, policy, false, "signing")
	if !state.Signing().Certificate().Equal(next) {
		t.Error("another one than the next one signs")
	}
}

func TestWhatWasTrustedBeforeStaysForAWhile(t *testing.T) {
	policy, clock := newPolicy()
	before := begin(t, policy, nil).Bundle()
	state := begin(t, policy, before)
	if !state.Bundle().Covers(before) || state.Signing().Certificate().Equal(before[0]) {
		t.Fatal("what was trusted before is not any more, or signs")
	}
	clock.SetTime(state.Due())
	advance(t, state, policy, false, "dropped")
}

func TestWhatCannotBeRead(t *testing.T) {
	policy, _ := newPolicy()
	state := begin(t, policy, begin(t, policy, nil).Bundle())
	advance(t, state, policy, true, "prepared")
	whole, err := state.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{signingCertificate, signingKey, nextKey, BundleKey, scheduleKey} {
		t.Run(key, func(t *testing.T) {
			data, err := state.Encode(nil)
			if err != nil {
				t.Fatal(err)
			}
			data[key] = []byte("broken")
			if _, err := Decode(data, policy); err == nil {
				t.Error("it was read")
			}
		})
	}
	t.Run("without a schedule nothing is dropped or signed early", func(t *testing.T) {
		delete(whole, scheduleKey)
		again, err := Decode(whole, policy)
		if err != nil {
			t.Fatal(err)
		}
		advance(t, again, policy, false)
		if !bytes.Equal(again.Bundle().PEM(), state.Bundle().PEM()) {
			t.Error("something else is trusted")
		}
	})
	if strings.Contains(string(whole[BundleKey]), "PRIVATE") {
		t.Error("the bundle holds a key")
	}
}
