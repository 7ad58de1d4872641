package logging

import (
	"strings"
	"testing"
)

func TestTheLevelDecidesWhatIsLogged(t *testing.T) {
	for _, test := range []struct{ level, want string }{{"debug", "dbg inf wrn"}, {"info", "inf wrn"}, {"warn", "wrn"}, {"error", ""}} {
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
		var got []string
		for line := range strings.Lines(out.String()) {
			_, message, _ := strings.Cut(strings.TrimSpace(line), "msg=")
			got = append(got, message)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: logged %q, want %s", test.level, got, test.want)
		}
	}
	if err := NewLevel().Set("loud"); err == nil {
		t.Error("loud is a level")
	}
}
