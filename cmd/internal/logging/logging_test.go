package logging

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/klog/v2"
)

func TestTheLevelDecidesWhatIsLogged(t *testing.T) {
	t.Cleanup(klog.ClearLogger)
	for _, test := range []struct{ level, own, library string }{
		{"debug", "dbg inf wrn", "inf infS wrn err errS"},
		{"info", "inf wrn", "inf infS wrn err errS"},
		{"warn", "wrn", "wrn err errS"},
		{"error", "", "err errS"},
	} {
		level := NewLevel()
		if err := level.Set(test.level); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		logger, err := New(&out, level.String())
		if err != nil {
			t.Fatal(err)
		}
		logger.Debug("dbg")
		logger.Info("inf")
		logger.Warn("wrn")
		if got := messages(out.String()); got != test.own {
			t.Errorf("%s: logged %q, want %q", test.level, got, test.own)
		}
		out.Reset()
		Use(logger)
		klog.Info("inf")
		klog.InfoS("infS")
		klog.Warning("wrn")
		klog.Error("err")
		klog.ErrorS(errors.New("any"), "errS")
		if got := messages(out.String()); got != test.library {
			t.Errorf("%s: the library logged %q, want %q", test.level, got, test.library)
		}
	}
	if err := NewLevel().Set("loud"); err == nil {
		t.Error("loud is a level")
	}
}

// messages returns the messages of what was logged, in their order.
func messages(logged string) string {
	var found []string
	for line := range strings.Lines(logged) {
		_, message, _ := strings.Cut(strings.TrimSpace(line), "msg=")
		message, _, _ = strings.Cut(message, " ")
		found = append(found, message)
	}
	return strings.Join(found, " ")
}
