package main

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/pflag"
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

// The bodies of requests hold tokens, environments and keys.
func TestNoVerbosityLogsBodies(t *testing.T) {
	t.Cleanup(klog.ClearLogger)
	for flag, refused := range map[string]bool{
		"--v=7": false, "--vmodule=request=7": false,
		"--v=8": true, "--v=10": true, "--vmodule=request=8": true, "--vmodule=feed=2,request=9": true,
	} {
		if err := logsapi.ResetForTest(nil); err != nil {
			t.Fatal(err)
		}
		library := logsapi.NewLoggingConfiguration()
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		logsapi.AddFlags(library, flags)
		if err := flags.Parse([]string{flag}); err != nil {
			t.Fatal(err)
		}
		err := setUpLogging(io.Discard, library, "info")
		if (err != nil) != refused {
			t.Errorf("%s: got %v, want it refused: %v", flag, err, refused)
		}
		if err != nil && !strings.Contains(err.Error(), "--v") {
			t.Errorf("%s: the message %q names no option", flag, err)
		}
	}
}
