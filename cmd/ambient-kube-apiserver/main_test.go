package main

import (
	"strings"
	"testing"

	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/klog/v2"
)

// The library has no option for less than what informs.
func TestTheLevelIsHonoured(t *testing.T) {
	t.Cleanup(klog.ClearLogger)
	for level, want := range map[string]string{"warn": "wrn err", "error": "err"} {
		if err := logsapi.ResetForTest(nil); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := setUpLogging(&out, logsapi.NewLoggingConfiguration(), level); err != nil {
			t.Fatal(err)
		}
		klog.Info("inf")
		klog.Warning("wrn")
		klog.Error("err")
		var got []string
		for line := range strings.Lines(out.String()) {
			_, message, _ := strings.Cut(strings.TrimSpace(line), "msg=")
			got = append(got, message)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: logged %q, want %s", level, got, want)
		}
	}
}
