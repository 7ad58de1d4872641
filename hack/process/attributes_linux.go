package process

import "syscall"

// attributes of a new process. An attached one is in its own group, so that a
// terminal's Ctrl-C reaches only us, and is killed by the kernel when the
// thread that started it ends: see Group.
func attributes(detach bool) *syscall.SysProcAttr {
	if detach {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
