//go:build unix && !linux

package process

import (
	"errors"
	"syscall"
)

// attributes of a new process. Only Linux can tie a child's life to ours: here
// an attached one lives on if we are killed.
func attributes(detach bool, jail *Jail) (*syscall.SysProcAttr, error) {
	if jail != nil {
		return nil, errors.New("only Linux runs a program in a folder as its root")
	}
	if detach {
		return &syscall.SysProcAttr{Setsid: true}, nil
	}
	return &syscall.SysProcAttr{Setpgid: true}, nil
}
