package ports

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// ownRange is the range from which this process chooses. It is locked as long as the
// file is open, and a file that nothing refers to is closed.
var ownRange struct {
	once  sync.Once
	first int
	lock  *os.File
	err   error
}

// processRange returns the first port of the process's range, which it takes the first
// time and holds until the process ends.
func processRange() (int, error) {
	ownRange.once.Do(func() {
		folder := filepath.Join(os.TempDir(), "ambient-kube-ports-"+strconv.Itoa(os.Getuid()))
		ownRange.first, ownRange.lock, ownRange.err = takeRange(folder)
	})
	return ownRange.first, ownRange.err
}

// takeRange locks the first range that nobody holds, in a folder that all processes of
// a user share, and returns its first port. The lock goes with the file.
func takeRange(folder string) (int, *os.File, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return 0, nil, fmt.Errorf("taking a range of ports: %w", err)
	}
	for first := lowest; first+rangeSize <= highest; first += rangeSize {
		file, err := os.OpenFile(filepath.Join(folder, strconv.Itoa(first)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return 0, nil, fmt.Errorf("taking a range of ports: %w", err)
		}
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return first, file, nil
		}
		if closing := file.Close(); closing != nil || !errors.Is(err, syscall.EWOULDBLOCK) {
			return 0, nil, fmt.Errorf("locking a range of ports: %w", errors.Join(err, closing))
		}
	}
	return 0, nil, fmt.Errorf("taking a range of ports: all in %s are held by other processes", folder)
}
