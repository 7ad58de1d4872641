package journal

import (
	"fmt"
	"testing"
)

// filled returns a journal of n keys in 100 namespaces.
func filled(n int) *Journal[object] {
	j := New[object](Options{Epoch: 1, Capacity: 10000, Maximum: 10000})
	for i := range n {
		put(j, fmt.Sprintf("/sessions/ns-%02d/%06d", i%100, i), "x")
	}
	return j
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1000, 100000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			j := filled(n)
			entries, _ := j.List("")
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				put(j, entries[i%len(entries)].Key, "y")
			}
		})
	}
}

func BenchmarkSince(b *testing.B) {
	j := filled(100000)
	for _, behind := range []uint64{0, 1, 9999} {
		b.Run(fmt.Sprintf("behind=%d", behind), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := j.Since(j.Revision() - behind); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkList(b *testing.B) {
	j := filled(100000)
	for _, prefix := range []string{"", "/sessions/ns-42/"} {
		b.Run(fmt.Sprintf("prefix=%q", prefix), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				j.List(prefix)
			}
		})
	}
}

func BenchmarkListAt(b *testing.B) {
	j := filled(100000)
	for _, behind := range []uint64{1, 1000} {
		b.Run(fmt.Sprintf("behind=%d", behind), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := j.ListAt("/sessions/ns-42/", j.Revision()-behind); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
