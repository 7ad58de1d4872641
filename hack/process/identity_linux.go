package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
)

// Positions in /proc/PID/stat, counted after the command's name.
const (
	statState     = 0
	statStartTime = 19
)

// The start time counts clock ticks since the boot, so that it means nothing
// without the name of the boot.
var bootID = sync.OnceValues(func() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("reading the name of this boot: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
})

func identify(pid int) (Identity, error) {
	boot, err := bootID()
	if err != nil {
		return Identity{}, err
	}
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return Identity{}, fmt.Errorf("process %d: %w", pid, errGone)
	}
	// The name stands in parentheses and may itself hold any character.
	_, rest, found := strings.Cut(string(data[strings.LastIndexByte(string(data), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !found || len(fields) <= statStartTime {
		return Identity{}, fmt.Errorf("process %d: cannot read %q", pid, data)
	}
	switch fields[statState] {
	case "Z", "X", "x":
		return Identity{}, fmt.Errorf("process %d: %w", pid, errGone)
	}
	return Identity{PID: pid, Started: boot + "/" + fields[statStartTime]}, nil
}
