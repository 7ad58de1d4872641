package apiserver

import (
	"strings"
	"testing"
	"time"
)

func TestOptionsThatCannotWorkAreAllNamed(t *testing.T) {
	options := NewOptions()
	options.Upstream.Address = "upstream:9000"
	options.Certificate.Secret = "ambient-kube-ca"
	if err := options.Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	options.Upstream.Address, options.Upstream.Timeout, options.HandOverTimeout, options.ShutdownDelay = "", 0, -time.Second, -time.Second
	options.LeaseName, options.MaxStaleness = "", 0
	err := options.Validate()
	for _, name := range []string{
		"--upstream-address", "--upstream-timeout", "--hand-over-timeout", "--shutdown-delay-duration", "--lease-name", "--max-staleness",
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
}
