package outage

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/util/cert"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/process"
)

// TestTheUpstreamsCertificateIsChecked lets the upstream serve over TLS: our server
// talks to the one that it was told of, and to no other.
func TestTheUpstreamsCertificateIsChecked(t *testing.T) {
	stand.NeedsEmbeddedUpstream(t)
	project := stand.NewProject(t)
	stand.NewSession(t, project, "kept")
	const name = "upstream.example"
	certificate, key, err := cert.GenerateSelfSignedCertKey(name, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	certificateFile, keyFile := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	for file, content := range map[string][]byte{certificateFile: certificate, keyFile: key} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	upstream, server := stand.Stack.Upstream, stand.Stack.Extension
	plainUpstream, plainServer := upstream.Spec(), server.Spec()
	t.Cleanup(func() {
		harness.RestartWith(t, upstream, plainUpstream)
		harness.RestartWith(t, server, plainServer)
	})
	// That it listens is all that can be asked of both: the stand's own clients of the upstream
	// speak plain text, and a server that does not reach it is not ready.
	with := func(spec process.Spec, address string, arguments ...string) process.Spec {
		spec.Args = append(slices.Clone(spec.Args), arguments...)
		spec.Ready = func(ctx context.Context) error {
			connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			if err != nil {
				return err
			}
			return connection.Close()
		}
		return spec
	}
	harness.RestartWith(t, upstream, with(plainUpstream, stand.Stack.UpstreamAddress(), "--tls-cert-file="+certificateFile, "--tls-key-file="+keyFile))

	authority := "--upstream-ca-file=" + certificateFile
	for why, test := range map[string]struct {
		arguments []string
		refused   string
	}{
		"as it should be":      {[]string{"--upstream-tls=true", authority, "--upstream-server-name=" + name}, ""},
		"another name":         {[]string{"--upstream-tls=true", authority, "--upstream-server-name=other.example"}, "x509: certificate is valid for " + name},
		"an unknown authority": {[]string{"--upstream-tls=true", "--upstream-server-name=" + name}, "x509: certificate signed by unknown authority"},
		"in plain text":        {[]string{"--upstream-tls=false"}, "Unavailable"},
	} {
		harness.RestartWith(t, server, with(plainServer, stand.Stack.ExtensionAddress(), test.arguments...))
		harness.Eventually(t, why+": our server says how it is", func() error {
			told := readiness(t)
			if test.refused == "" && strings.Contains(told, "feed of sessions: live") {
				return nil
			}
			if test.refused != "" && strings.Contains(told, test.refused) {
				return nil
			}
			return fmt.Errorf("it says %s", told)
		})
		want := 200
		if test.refused != "" {
			want = 503
		}
		harness.Eventually(t, why+": a session is read", func() error {
			if answer := stand.Do(t, harness.Request{Method: "GET", Path: path(project) + "/kept"}); answer.Code != want {
				return fmt.Errorf("%d %s, want %d", answer.Code, answer.Body, want)
			}
			return nil
		})
	}
}
