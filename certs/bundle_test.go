package certs

import (
	"bytes"
	"testing"
	"time"
)

func TestBundles(t *testing.T) {
	first, second := newTestAuthority(t, "ours").Certificate(), newTestAuthority(t, "ours").Certificate()
	both := Bundle{first}.With(second, first)
	if len(both) != 2 {
		t.Fatalf("%d certificates, want each once", len(both))
	}
	if !both.Covers(Bundle{second}) || !both.Covers(nil) || (Bundle{first}).Covers(both) {
		t.Error("a bundle covers what it holds and nothing else")
	}
	read, err := ParseBundle(append([]byte("# a comment\n"), both.PEM()...))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read.PEM(), both.PEM()) || !read[0].Equal(first) {
		t.Error("a bundle does not survive PEM")
	}
	if Fingerprint(first) == Fingerprint(second) || Fingerprint(first) != Fingerprint(read[0]) {
		t.Error("fingerprints do not identify certificates")
	}
	for name, data := range map[string]string{"nothing": "", "no PEM": "x", "half a certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := ParseBundle([]byte(data)); err == nil {
			t.Errorf("%s was taken for a bundle", name)
		}
	}
}

func TestSuccessorsAreMadeAtTwoThirds(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	authority := newTestAuthority(t, "ours", WithClock(func() time.Time { return now }), WithLifetime(9*time.Second))
	if got, want := authority.RenewAt(), now.Add(6*time.Second); !got.Equal(want) {
		t.Errorf("an authority of 9 s is renewed at %v, want %v", got, want)
	}
	if got, want := issue(t, authority, Leaf{CommonName: "x", Usage: Client, Lifetime: 3 * time.Second}).RenewAt, now.Add(2*time.Second); !got.Equal(want) {
		t.Errorf("a leaf of 3 s is renewed at %v, want %v", got, want)
	}
}
