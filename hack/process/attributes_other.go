//go:build unix && !linux

package process

import "syscall"

// attributes of a new process. Only Linux can tie a child's life to ours: here
// an attached one lives on if we are killed.
func attributes(detach bool) *syscall.SysProcAttr {
	if detach {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Setpgid: true}
}
