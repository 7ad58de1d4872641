package apiserver

import (
	"strings"
	"testing"
	"time"
)

func TestOptionsThatCannotWorkAreNamed(t *testing.T) {
	valid := func() *Options {
		options := NewOptions()
		options.Certificate.Secret = "ambient-kube-ca"
		return options
	}
	if err := valid().Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	all := valid()
	var names []string
	for _, test := range []struct {
		name  string
		spoil func(*Options)
	}{
		{"--upstream-address", func(o *Options) { o.Upstream.Address = "" }},
		{"--upstream-timeout", func(o *Options) { o.Upstream.Timeout = 0 }},
		{"--upstream-timeout", func(o *Options) { o.Upstream.Timeout = -time.Second }},
		{"--hand-over-timeout", func(o *Options) { o.HandOverTimeout = -time.Second }},
		{"--shutdown-delay-duration", func(o *Options) { o.ShutdownDelay = -time.Second }},
		{"--lease-name", func(o *Options) { o.LeaseName = "" }},
		{"--max-staleness", func(o *Options) { o.MaxStaleness = 0 }},
	} {
		options := valid()
		test.spoil(options)
		if err := options.Validate(); err == nil || !strings.Contains(err.Error(), test.name) {
			t.Errorf("%s is not named in %v", test.name, err)
		}
		test.spoil(all)
		names = append(names, test.name)
	}
	err := all.Validate()
	for _, name := range names {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named among all in %v", name, err)
		}
	}
	// None at all is a wish that can be met.
	none := valid()
	none.HandOverTimeout, none.ShutdownDelay = 0, 0
	if err := none.Validate(); err != nil {
		t.Errorf("no hand-over and no delay: %v", err)
	}
}
