// Package backend joins feed, translation and journal for each kind, and writes
// through to the upstream: it is what stands behind storage.
//
// For each kind it owns the index between upstream ids and storage keys, decides
// about names that several objects claim, and puts into the journal exactly one
// event for each change of an object. It knows the upstream's messages and the
// API types, but nothing of REST.
package backend
