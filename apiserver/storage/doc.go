// Package storage implements the API server library's storage.Interface over a
// journal and the upstream side of one kind, and puts the library's own cache in
// front of it.
//
// Lists and watches are answered from the journal, single reads and writes go
// through to the upstream: a write locks its key, reads the object afresh,
// compares, writes, and answers with what the journal then holds.
//
// The package must not know which kind it serves, nor how the upstream is
// reached; both are behind Backend and Options. Errors of the upstream come as
// status errors already and are passed on as they are.
//
// # What may be stale
//
// A read that claims to be current (no resourceVersion) is refused with 503 while
// Backend.Current returns an error; reads at resourceVersion 0 and open watches go
// on. Before the first synchronisation nothing is answered, because an empty world
// makes garbage collectors delete.
//
// # Why an upstream fault never ends a watch
//
// The cache's own watch of the Store ends only when the cache is stopped, or when
// it fell further behind than the journal remembers. Anything else would make
// every client of the cache list again.
package storage
