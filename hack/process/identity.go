package process

import "errors"

// errGone says that no running process has the pid.
var errGone = errors.New("no such process")

// Identity tells one process from every other, also from a later one that got
// the same pid, also after a reboot.
type Identity struct {
	PID int `json:"pid"`
	// Started is the moment of the start in a form of the operating system,
	// only to be compared.
	Started string `json:"started"`
}

// Alive tells whether the process is still running. A process that has ended
// but whose parent hasn't noticed counts as ended.
func (i Identity) Alive() bool {
	now, err := identify(i.PID)
	return err == nil && now == i
}
