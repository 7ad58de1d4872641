package process

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// Outdated tells whether the process runs another program than the one that lies at
// its path now. A program that is gone is none to change to.
func (r Record) Outdated() (bool, error) {
	there, err := os.Open(r.Path)
	if os.IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the program of %s: %w", r.Name, err)
	}
	defer there.Close()
	runs, err := os.Open("/proc/" + strconv.Itoa(r.PID) + "/exe")
	if err != nil {
		return false, fmt.Errorf("reading what process %d runs: %w", r.PID, err)
	}
	defer runs.Close()
	left, err := there.Stat()
	if err != nil {
		return false, fmt.Errorf("reading the program of %s: %w", r.Name, err)
	}
	right, err := runs.Stat()
	if err != nil {
		return false, fmt.Errorf("reading what process %d runs: %w", r.PID, err)
	}
	if os.SameFile(left, right) {
		return false, nil
	}
	if left.Size() != right.Size() {
		return true, nil
	}
	// Built again, from the same source perhaps.
	return differ(bufio.NewReaderSize(there, chunk), bufio.NewReaderSize(runs, chunk))
}

// chunk is how much is compared at a time.
const chunk = 1 << 20

func differ(a, b io.Reader) (bool, error) {
	left, right := make([]byte, chunk), make([]byte, chunk)
	for {
		n, err := io.ReadFull(a, left)
		m, other := io.ReadFull(b, right)
		if !bytes.Equal(left[:n], right[:m]) {
			return true, nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("comparing programs: %w", err)
		}
		if other != nil {
			return false, fmt.Errorf("comparing programs: %w", other)
		}
	}
}
