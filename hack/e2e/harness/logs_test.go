package harness

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/ambient-code/ambient-kube/hack/controlplane"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// raceReport is how the race detector reports that something wrote what the library
// copies when certificates change.
func raceReport(writer string) string {
	return "==================\nWARNING: DATA RACE\nWrite at 0x00c by goroutine 281:\n  " + writer + "\n      file.go:148 +0x17d6\n\n" +
		"Previous read at 0x00c by goroutine 347:\n  crypto/tls.(*Config).Clone()\n      crypto/tls/common.go:1009 +0x41b\n" +
		"  k8s.io/apiserver/pkg/server/dynamiccertificates.(*DynamicServingCertificateController).syncCerts()\n      tlsconfig.go:171 +0xa9\n" +
		"\nGoroutine 281 (running) created at:\n  main.run()\n==================\n"
}

func TestForbiddenLogEntries(t *testing.T) {
	allowed := []Allowed{{Process: "server", Pattern: regexp.MustCompile(`(?s)expected.*details of it`), Why: "it is expected"}}
	tests := map[string]struct {
		process, entry string
		want           bool
	}{
		"an information of klog":                    {"server", `I1123 00:19:07.187495   24224 main.go:1] "Ready"`, false},
		"an error of klog":                          {"server", `E1123 00:19:07.187495   24224 main.go:1] "Failed"`, true},
		"a fatal line of klog":                      {"server", `F1123 00:19:07.187495   24224 main.go:1] "Failed"`, true},
		"an error of slog":                          {"server", `time=2026-11-23T00:19:03.213Z level=ERROR msg=failed`, true},
		"a warning of slog":                         {"server", `time=2026-11-23T00:19:03.213Z level=WARN msg="an error"`, false},
		"an error of zap":                           {"server", `{"level":"error","ts":"2026-11-23T00:19:03.302073Z"}`, true},
		"a data race outside of any entry":          {"server", "WARNING: DATA RACE\nWrite at 0x00c", true},
		"the library's race at its start":           {"server", raceReport("k8s.io/apiserver/pkg/server.(*SecureServingInfo).tlsConfig()"), false},
		"the library's other race at its start":     {"server", raceReport("golang.org/x/net/http2.configureServer()"), false},
		"a race of ours with the same reader":       {"server", raceReport("github.com/ambient-code/ambient-kube/apiserver.wire()"), true},
		"a race of ours beside that of the library": {"server", raceReport("golang.org/x/net/http2.configureServer()") + raceReport("main.main()"), true},
		"a panic outside of any entry":              {"server", "panic: oh\n\ngoroutine 1 [running]:", true},
		"a panic that was caught":                   {"server", `I1123 00:19:07.187495   24224 main.go:1] "Observed a panic"`, true},
		"a panic beside what is expected":           {"server", "E1123 00:19:07.187495   24224 main.go:1] expected err=<\n\tdetails of it: panic\n >", true},
		"a request that ended without a panic":      {"server", "I1123 00:19:07.187495   24224 finisher.go:1] panicked: false, panic-reason: <nil>", false},
		"a request that was let in and ended":       {"server", "I1123 00:19:07.187495   24224 apf_filter.go:1] Handle() => Finish() => panicking=false idle=true", false},
		"a request that was let in and did not":     {"server", "I1123 00:19:07.187495   24224 apf_filter.go:1] Handle() => Finish() => panicking=true idle=true", true},
		"a request that ended with a panic":         {"server", "I1123 00:19:07.187495   24224 finisher.go:1] panicked: true, panic-reason: oh", true},
		"an allowed error":                          {"server", "E1123 00:19:07.187495   24224 main.go:1] expected err=<\n\tdetails of it\n >", false},
		"an allowed error of another process":       {"other", "E1123 00:19:07.187495   24224 main.go:1] expected err=<\n\tdetails of it\n >", true},
	}
	for name, entry := range map[string]string{
		"a client gone during authentication": `E1123 00:19:07.187495   24224 authentication.go:76] "Unable to authenticate the request" err="[invalid bearer token, context canceled]"`,
		"a client gone during authorization":  `E1123 00:19:07.187495   24224 errors.go:83] "Unhandled Error" err="Post \"https://127.0.0.1:1/apis/authorization.k8s.io/v1/subjectaccessreviews?timeout=10s\": context canceled"`,
	} {
		if forbidden(controlplane.APIServerName, entry, everyRun) {
			t.Errorf("%s is no fault of kube-apiserver", name)
		}
	}
	ended := `E1123 00:19:07.187495   24224 watch.go:390] "Failed to close watch response writer" err="http2: stream closed" logger="UnhandledError"`
	if forbidden(stack.APIServerName, ended, everyRun) {
		t.Error("a watch that its client ended is no fault of our server")
	}
	unknown := `E1123 00:19:07.187495   24224 authentication.go:76] "Unable to authenticate the request" err="invalid bearer token"`
	if !forbidden(controlplane.APIServerName, unknown, everyRun) {
		t.Error("a token that kube-apiserver refuses is a fault")
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := forbidden(test.process, test.entry, allowed); got != test.want {
				t.Errorf("forbidden: %v, want %v", got, test.want)
			}
		})
	}
}

func TestEntriesHoldTheirFurtherLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	text := "E1123 00:19:08.393034   24170 controller.go:157] \"Unhandled Error\" err=<\n\tmore\n >\n{\"level\":\"warn\"}\ntime=2026-11-23T00:19:03.213Z level=INFO msg=x\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	entries, err := readEntries(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 3 || entries[0] != "E1123 00:19:08.393034   24170 controller.go:157] \"Unhandled Error\" err=<\n\tmore\n >" {
		t.Errorf("got %d entries: %q", len(entries), entries)
	}
}
