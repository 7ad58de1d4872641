// Package process starts, watches, kills and restarts the programs of a
// development or test stand.
//
// It owns what is true of any program: its log file, its readiness, its exit
// code, and a record on disk by which a later run recognises it. It must not
// know which programs there are.
//
// Programs are either attached, and then die with the one that started them
// whatever ends it, or detached, and then live on.
package process
