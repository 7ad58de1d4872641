package process

import (
	"os"
	"syscall"
)

// attributes of a new process. An attached one is in its own group, so that a
// terminal's Ctrl-C reaches only us, and is killed by the kernel when the
// thread that started it ends: see Group.
func attributes(detach bool, jail *Jail) (*syscall.SysProcAttr, error) {
	result := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if detach {
		result = &syscall.SysProcAttr{Setsid: true}
	}
	if jail == nil {
		return result, nil
	}
	result.Chroot = jail.Root
	result.Credential = &syscall.Credential{Uid: jail.User, Gid: jail.Group}
	if user := os.Geteuid(); user != 0 {
		// Whoever isn't root may do this in a namespace of users of its own.
		result.Cloneflags = syscall.CLONE_NEWUSER
		result.UidMappings = []syscall.SysProcIDMap{{ContainerID: int(jail.User), HostID: user, Size: 1}}
		result.GidMappings = []syscall.SysProcIDMap{{ContainerID: int(jail.Group), HostID: os.Getegid(), Size: 1}}
		result.Credential.NoSetGroups = true
	}
	return result, nil
}
