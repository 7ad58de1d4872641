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
	place, known := placeOf(listening)
	if !known {
		place = uuid.NewString()
	}
	return host + "_" + place, nil
}

// placeOf names an address of the network that this process is in; false on other
// systems than Linux, where that costs some seconds after a crash.
func placeOf(listening string) (place string, known bool) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", false
	}
	network, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return "", false
	}
	sum := sha256.Sum256([]byte(string(boot) + network + listening))
	return hex.EncodeToString(sum[:8]), true
}
