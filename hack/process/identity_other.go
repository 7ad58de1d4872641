//go:build unix && !linux

package process

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

func identify(pid int) (Identity, error) {
	output, err := exec.Command("ps", "-o", "stat=,lstart=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return Identity{}, fmt.Errorf("process %d: %w", pid, errGone)
	}
	state, started, _ := strings.Cut(strings.TrimSpace(string(output)), " ")
	if state == "" || strings.HasPrefix(state, "Z") {
		return Identity{}, fmt.Errorf("process %d: %w", pid, errGone)
	}
	return Identity{PID: pid, Started: strings.TrimSpace(started)}, nil
}
