// Package journal turns a world without revisions into one that has them: it
// holds the present state of one kind in memory, gives every change a strictly
// greater revision, and remembers the latest changes in a dense, bounded log.
//
// It is generic over the object and must not know which kind it holds, where the
// objects come from, or who reads them. Whether a change is a change at all
// ("equal content is no event") is decided by the publisher, not here.
//
// # Revisions
//
// A revision is epoch<<32 + n. The epoch is claimed by the owner before anybody
// reads, so revisions never fall over a restart: a journal may be filled before its
// epoch is known, and moved into it by Begin. n is dense. A new journal stands at
// n = 1, therefore every revision is greater than zero, even of an empty journal.
//
// # Values
//
// The journal hands out the values that were put into it, not copies. Whoever
// puts a value gives it away, and whoever gets one must not change it.
package journal
