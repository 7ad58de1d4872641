package process

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// tailBytes bounds how much of a log Tail reads; lines are cut beyond it.
const tailBytes = 64 << 10

// Tail returns the last lines of a log, without line ends.
func Tail(path string, lines int) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("measuring %s: %w", path, err)
	}
	start := max(0, size-tailBytes)
	data, err := io.ReadAll(io.NewSectionReader(file, start, size-start))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	text := strings.TrimRight(string(data), "\n")
	if text == "" {
		return nil, nil
	}
	all := strings.Split(text, "\n")
	if start > 0 {
		all = all[1:] // half a line
	}
	return all[max(0, len(all)-lines):], nil
}

// Lines calls visit with each line of a log, until it returns false. Lines of
// any length are whole.
func Lines(path string, visit func(line string) bool) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening a log: %w", err)
	}
	defer file.Close()
	reader := bufio.NewReader(file)
	for {
		line, err := reader.ReadString('\n')
		if line != "" && !visit(strings.TrimSuffix(line, "\n")) {
			return nil
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
	}
}
