package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// Outdated tells whether the process runs another program than the one that lies at
// its path now. A program that is gone is none to change to.
func (r Record) Outdated() (bool, error) {
	runs := "/proc/" + strconv.Itoa(r.PID) + "/exe"
	left, err := os.Stat(r.Path)
	if os.IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking at the program of %s: %w", r.Name, err)
	}
	right, err := os.Stat(runs)
	if err != nil {
		return false, fmt.Errorf("looking at what process %d runs: %w", r.PID, err)
	}
	if os.SameFile(left, right) || left.Size() != right.Size() {
		return left.Size() != right.Size(), nil
	}
	// Built again, from the same source perhaps.
	built, err := os.ReadFile(r.Path)
	if err != nil {
		return false, fmt.Errorf("reading the program of %s: %w", r.Name, err)
	}
	running, err := os.ReadFile(runs)
	if err != nil {
		return false, fmt.Errorf("reading what process %d runs: %w", r.PID, err)
	}
	return !bytes.Equal(built, running), nil
}
