// Package translate turns rows of the upstream into objects of the API, and
// changes of objects into requests to the upstream.
//
// It owns the meaning of every column, the names of objects, and the reserved
// annotations that hold what the upstream has no column for. All of it is pure:
// the same row always gives the same object, and nothing here knows of networks,
// storage or time.
//
// Two rules hold throughout. Reading never fails: what cannot be shown is left
// out and named in the condition Translated. Writing touches only what changed:
// a column whose API field is the same before and after is not sent, and within
// a column of JSON only the members that changed get new bytes.
package translate
