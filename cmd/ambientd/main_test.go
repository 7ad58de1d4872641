package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// execute runs one command line and returns its output.
func execute(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var output bytes.Buffer
	command := newCommand()
	command.SetOut(&output)
	command.SetErr(&output)
	command.SetArgs(arguments)
	err := command.ExecuteContext(ctx)
	return output.String(), err
}

// serve runs the server until the test ends and points the client commands at it.
func serve(t *testing.T, arguments ...string) {
	t.Helper()
	folder := t.TempDir()
	addressFile := filepath.Join(folder, "addresses")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	command := newCommand()
	command.SetArgs(append([]string{"--data", filepath.Join(folder, "data"), "--listen=127.0.0.1:0", "--address-file", addressFile, "--log-level=error"}, arguments...))
	go func() { ended <- command.ExecuteContext(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
		if text, err := os.ReadFile(addressFile); err == nil {
			var addresses struct{ GRPC string }
			if err := json.Unmarshal(text, &addresses); err != nil {
				t.Fatal(err)
			}
			t.Setenv("AMBIENT_KUBE_ADDRESS", addresses.GRPC)
			return
		}
		select {
		case err := <-ended:
			ended <- nil
			t.Fatalf("the server ended with %v", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("the server does not listen")
		}
	}
}

func TestTheClientPlaysTheUpstreamsSide(t *testing.T) {
	serve(t)
	var id string
	for _, step := range []struct {
		arguments string
		want      string // a pattern; in both, {id} stands for the id of the session
	}{
		{"projects create demo --description trial", `demo +demo +- +trial`},
		{"projects list", `ID +NAME +STATUS +DESCRIPTION\ndemo +demo +- +trial\n$`},
		{"settings create demo --group-access []", `demo +\[\] +-`},
		{"settings list", `ID +PROJECT +GROUP ACCESS +REPOSITORIES\n\w{27} +demo`},
		{"sessions create first --project demo --temperature 0 -o id", `^\w{27}\n$`},
		{"sessions get {id} -o json", `"llm_temperature": ?0[,}]`},
		{"sessions phase {id} Running", `{id} +first +Running +claude-sonnet-4-6 +demo`},
		{"sessions update {id} --name renamed --prompt text", `{id} +renamed +Running`},
		{"sessions get {id} -o json", `"prompt": ?"text"`},
		{"sessions list", `^ID +NAME +PHASE +MODEL +PROJECT\n{id} +renamed +Running +claude-sonnet-4-6 +demo\n$`},
		{"sessions list --project other", `^ID +NAME +PHASE +MODEL +PROJECT\n$`},
		{"sessions delete {id}", `^$`},
		{"sessions list -o id", `^$`},
		{"projects delete demo", `^$`},
		{"projects list -o id", `^$`},
	} {
		fill := strings.NewReplacer("{id}", id)
		output, err := execute(t, strings.Fields(fill.Replace(step.arguments))...)
		if err != nil {
			t.Fatalf("%s: %v", step.arguments, err)
		}
		if id == "" && strings.HasSuffix(step.arguments, "-o id") {
			id = strings.TrimSpace(output)
		}
		pattern := fill.Replace(step.want)
		if !regexp.MustCompile(pattern).MatchString(output) {
			t.Errorf("%s prints\n%s\nwant %s", step.arguments, output, pattern)
		}
	}
}

func TestTheClientSendsItsToken(t *testing.T) {
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	serve(t, "--auth=static", "--token-file", tokenFile)
	if _, err := execute(t, "sessions", "create", "one"); err != nil {
		t.Fatal(err)
	}
	for want, options := range map[int][]string{0: nil, 1: {"--token-file", tokenFile}} {
		output, err := execute(t, append([]string{"sessions", "list", "-o", "id"}, options...)...)
		if err != nil || strings.Count(output, "\n") != want {
			t.Errorf("with options %v the list is %q, %v", options, output, err)
		}
	}
}

func TestWrongCommandLinesSayWhatIsWrong(t *testing.T) {
	for _, test := range []struct{ arguments, want string }{
		{"", "--data is required"},
		{"--data x --auth magic", "none, static, jwt"},
		{"--data x --auth static", "--token-file"},
		{"--data x --log-level loud", "debug, info, warn, error"},
		{"sessions list -o yaml", "table, json, id"},
		{"sessions create", "accepts 1 arg"},
		{"--data /nonexistent/folder/x --listen 127.0.0.1:0", "/nonexistent/folder/x"},
	} {
		if _, err := execute(t, strings.Fields(test.arguments)...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: error = %v, want one that contains %q", test.arguments, err, test.want)
		}
	}
}

func TestTheEnvironmentStandsInForOptions(t *testing.T) {
	t.Setenv("AMBIENT_KUBE_DATA", filepath.Join(t.TempDir(), "data"))
	t.Setenv("AMBIENT_KUBE_AUTH", "static")
	if _, err := execute(t); err == nil || !strings.Contains(err.Error(), "--token-file") {
		t.Errorf("error = %v, want the one of --auth=static without a token", err)
	}
	t.Setenv("LOG_LEVEL", "loud")
	if _, err := execute(t); err == nil || !strings.Contains(err.Error(), "LOG_LEVEL") {
		t.Errorf("error = %v, want one that names LOG_LEVEL", err)
	}
}

// writeCertificate writes a self-signed certificate for 127.0.0.1 and its key.
func writeCertificate(t *testing.T) (certificateFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	encodedKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	certificateFile, keyFile = filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	for path, block := range map[string]*pem.Block{
		certificateFile: {Type: "CERTIFICATE", Bytes: certificate},
		keyFile:         {Type: "PRIVATE KEY", Bytes: encodedKey},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificateFile, keyFile
}

func TestTLS(t *testing.T) {
	certificateFile, keyFile := writeCertificate(t)
	serve(t, "--tls-cert-file", certificateFile, "--tls-key-file", keyFile)
	if output, err := execute(t, "projects", "list", "--tls-ca-file", certificateFile); err != nil || !strings.HasPrefix(output, "ID") {
		t.Errorf("with the authority: %q, %v", output, err)
	}
	if _, err := execute(t, "projects", "list", "--tls", "--timeout=5s"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the authority: %v", err)
	}
	if _, err := execute(t, "projects", "list", "--timeout=5s"); err == nil {
		t.Error("without TLS the list was answered")
	}
}
