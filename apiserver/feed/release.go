package feed

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// Doubt is what a degraded feed holds back, for a person to decide about.
type Doubt struct {
	// Reason says what the upstream denies, and what it means.
	Reason string
	// Fingerprint names exactly the absences that a person may release: other
	// absences, a later time and another process have other fingerprints. It is
	// empty while there is nothing to release: rows that the upstream hides, but
	// returns when they are asked for, are not gone.
	Fingerprint string
}

// Doubt returns what the feed holds back; false unless it is degraded.
func (f *Feed[R]) Doubt() (Doubt, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status.doubt, f.status.doubt.Reason != ""
}

// Release lets a degraded feed believe the absences with the fingerprint: a
// person has confirmed that the upstream is the right one. It tells whether these
// are the absences that the feed holds back just now. What becomes of them is
// decided after the next listing, and only if that lacks exactly the same rows.
func (f *Feed[R]) Release(fingerprint string) bool {
	f.mu.Lock()
	shown := fingerprint != "" && f.status.doubt.Fingerprint == fingerprint
	if shown {
		f.status.released = fingerprint
	}
	f.mu.Unlock()
	if shown {
		f.Relist()
	}
	return shown
}

// takeRelease tells whether a person released the absences with the fingerprint;
// once. A release of others is void.
func (f *Feed[R]) takeRelease(fingerprint string) (released bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	released = f.status.released != "" && f.status.released == fingerprint
	f.status.released = ""
	return released
}

// fingerprint names the absences of the rows while the feed is degraded without a
// break, or is about to be.
func (f *Feed[R]) fingerprint(absent []string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status.salt == "" {
		f.status.salt = rand.Text()
	}
	// No id holds a zero.
	text := strings.Join(append([]string{f.options.Name, f.status.salt}, slices.Sorted(slices.Values(absent))...), "\x00")
	hash := sha256.Sum256([]byte(text))
	return hex.EncodeToString(hash[:fingerprintLength])
}

// fingerprintLength is the length of a fingerprint in bytes: short enough to be
// typed, long enough not to be hit by chance.
const fingerprintLength = 8
