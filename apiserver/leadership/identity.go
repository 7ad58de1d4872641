package leadership

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"

	"github.com/google/uuid"
)

// Identity names this process in the Lease. It is the same for the next life of a
// process that was killed, which can then go on at once instead of waiting for its
// own Lease to expire: two processes that listen at one address of one network
// cannot run at the same time. Where that cannot be told, each life has a name of
// its own.
func Identity(listening string) (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("naming this process: %w", err)
	}
	boot, errBoot := os.ReadFile("/proc/sys/kernel/random/boot_id")
	network, errNetwork := os.Readlink("/proc/self/ns/net")
	if errBoot != nil || errNetwork != nil {
		// Another system than Linux, where this costs some seconds after a crash.
		return host + "_" + uuid.NewString(), nil
	}
	place := sha256.Sum256([]byte(string(boot) + network + listening))
	return host + "_" + hex.EncodeToString(place[:8]), nil
}
