package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clienttesting "k8s.io/client-go/testing"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	ambientfake "github.com/ambient-code/ambient-kube/apiserver/client/versioned/fake"
	"github.com/ambient-code/ambient-kube/certs"
	"github.com/ambient-code/ambient-kube/certs/serving"
)

const operator = "system:serviceaccount:ambient-code:agentic-operator"

// stand is a server with the files of its certificate.
type stand struct {
	address, certificateFile, keyFile string
	projects                          *ambientfake.Clientset
}

func newAuthority(t *testing.T) *certs.Authority {
	t.Helper()
	authority, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

// issue makes the server's certificate.
func (s *stand) issue(t *testing.T, authority *certs.Authority) {
	t.Helper()
	pair, err := authority.Issue(certs.Leaf{CommonName: "webhooks", Usage: certs.Server, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string][]byte{s.certificateFile: pair.CertificatePEM, s.keyFile: pair.KeyPEM} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func newStand(t *testing.T, authority *certs.Authority) *stand {
	t.Helper()
	directory := t.TempDir()
	s := &stand{
		certificateFile: filepath.Join(directory, "tls.crt"), keyFile: filepath.Join(directory, "tls.key"),
		projects: ambientfake.NewSimpleClientset(&v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: "payments"}}),
	}
	s.issue(t, authority)
	certificate, err := serving.Options{CertificateFile: s.certificateFile, KeyFile: s.keyFile}.New(serving.Server{})
	if err != nil {
		t.Fatal(err)
	}
	server, err := Listen(Options{
		Address: "127.0.0.1:0", Certificate: certificate, Exempt: []string{operator}, Projects: s.projects, Registry: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.address = server.listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{certificate.Run, server.Serve} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return s
}

// post sends a body over a new connection.
func (s *stand) post(t *testing.T, authority *certs.Authority, path string, body []byte) (*http.Response, []byte, error) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.CertificatePEM())
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.address+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, data, nil
}

// ask returns what is answered to a request.
func (s *stand) ask(t *testing.T, authority *certs.Authority, path string, request admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	t.Helper()
	request.UID = "1234"
	review := admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: &request}
	body, err := json.Marshal(review)
	if err != nil {
		t.Fatal(err)
	}
	response, data, err := s.post(t, authority, path, body)
	if err != nil {
		t.Fatal(err)
	}
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(data, &answer); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", response.Status, data)
	}
	if answer.TypeMeta != review.TypeMeta || answer.Response == nil || answer.Response.UID != "1234" {
		t.Fatalf("the answer is %s", data)
	}
	return answer.Response
}

func agenticSession(prompt string) runtime.RawExtension {
	return runtime.RawExtension{Raw: fmt.Appendf(nil, `{"apiVersion":"vteam.ambient-code/v1alpha1","kind":"AgenticSession",
		"metadata":{"name":"cr","namespace":"payments","annotations":{"ambient.io/session-name":"tidy"},"managedFields":[
			{"manager":"ambient-kube-reconciler","operation":"Apply","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:initialPrompt":{}}}}]},
		"spec":{"initialPrompt":%q}}`, prompt)}
}

func namespace(labels, annotations string) runtime.RawExtension {
	return runtime.RawExtension{Raw: fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"space","labels":{%s},"annotations":{%s}}}`, labels, annotations)}
}

func TestWhatIsRefused(t *testing.T) {
	authority := newAuthority(t)
	s := newStand(t, authority)
	s.projects.PrependReactor("get", "projects", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.(clienttesting.GetAction).GetName() == "unknown" {
			return true, nil, errors.New("the upstream is away")
		}
		return false, nil, nil
	})
	const (
		exists  = `"ambient-code.io/project-id":"payments"`
		gone    = `"ambient-code.io/project-id":"gone"`
		unknown = `"ambient-code.io/project-id":"unknown"`
	)
	for _, test := range []struct {
		name, path  string
		operation   admissionv1.Operation
		subresource string
		user        string
		before      runtime.RawExtension
		after       runtime.RawExtension
		want        string
	}{
		{name: "an edit of ours", path: AgenticSessionsPath, operation: admissionv1.Update, before: agenticSession("a"), after: agenticSession("b"),
			want: "AgenticSession payments/cr is made from Session payments/tidy, which says what spec.initialPrompt is. Change the Session instead: kubectl edit sessions.ambient.io tidy -n payments"},
		{name: "the same by the operator", path: AgenticSessionsPath, operation: admissionv1.Update, user: operator, before: agenticSession("a"), after: agenticSession("b")},
		{name: "the same of a status", path: AgenticSessionsPath, operation: admissionv1.Update, subresource: "status", before: agenticSession("a"), after: agenticSession("b")},
		{name: "no edit of ours", path: AgenticSessionsPath, operation: admissionv1.Update, before: agenticSession("a"), after: agenticSession("a")},
		{name: "the deletion of an AgenticSession", path: AgenticSessionsPath, operation: admissionv1.Delete, before: agenticSession("a")},
		{name: "a namespace whose project exists", path: NamespacesPath, operation: admissionv1.Delete, before: namespace(exists, ""),
			want: "namespace space belongs to project payments, which exists: deleting it would delete the project's sessions from the system of record. " +
				"Delete the project instead (kubectl delete projects.ambient.io payments), or allow it: kubectl annotate namespace space ambient.io/allow-cascade=true"},
		{name: "the same, wrongly marked", path: NamespacesPath, operation: admissionv1.Delete, before: namespace(exists, `"ambient.io/project-gone":"true"`), want: "which exists"},
		{name: "the same, allowed", path: NamespacesPath, operation: admissionv1.Delete, before: namespace(exists, `"ambient.io/allow-cascade":"true"`)},
		{name: "the same, not quite allowed", path: NamespacesPath, operation: admissionv1.Delete, before: namespace(exists, `"ambient.io/allow-cascade":"yes"`), want: "which exists"},
		{name: "a namespace whose project is gone", path: NamespacesPath, operation: admissionv1.Delete, before: namespace(gone, "")},
		{name: "a namespace of nobody's", path: NamespacesPath, operation: admissionv1.Delete, before: namespace("", "")},
		{name: "a namespace whose project can't be asked for", path: NamespacesPath, operation: admissionv1.Delete, before: namespace(unknown, ""),
			want: "can't be told now (the upstream is away). Try again later, or allow it at the risk of its sessions: kubectl annotate namespace space ambient.io/allow-cascade=true"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := s.ask(t, authority, test.path, admissionv1.AdmissionRequest{
				Operation: test.operation, SubResource: test.subresource, OldObject: test.before, Object: test.after,
				UserInfo: authenticationv1.UserInfo{Username: test.user},
			})
			if answer.Allowed != (test.want == "") {
				t.Fatalf("allowed: %v", answer.Allowed)
			}
			if !answer.Allowed && (!strings.Contains(answer.Result.Message, test.want) || answer.Result.Code != http.StatusForbidden) {
				t.Errorf("the answer is %+v, want %s", answer.Result, test.want)
			}
		})
	}
}

func TestNonsenseIsNoAnswer(t *testing.T) {
	authority := newAuthority(t)
	s := newStand(t, authority)
	for name, test := range map[string]struct {
		path, body string
		want       int
	}{
		"no JSON":        {NamespacesPath, "nonsense", http.StatusBadRequest},
		"no request":     {NamespacesPath, "{}", http.StatusBadRequest},
		"no object":      {AgenticSessionsPath, `{"request":{"operation":"UPDATE","object":[],"oldObject":[]}}`, http.StatusInternalServerError},
		"no such path":   {"/other", "{}", http.StatusNotFound},
		"no old object":  {NamespacesPath, `{"request":{"operation":"DELETE","oldObject":1}}`, http.StatusInternalServerError},
		"too long a one": {NamespacesPath, `{"request":{"name":"` + strings.Repeat("x", largestReview) + `"}}`, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			response, body, err := s.post(t, authority, test.path, []byte(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != test.want {
				t.Errorf("%s: %s", response.Status, body)
			}
		})
	}
}

func TestTheCertificateMayBeReplaced(t *testing.T) {
	first, second := newAuthority(t), newAuthority(t)
	s := newStand(t, first)
	trusts := func(authority *certs.Authority) bool {
		_, _, err := s.post(t, authority, NamespacesPath, []byte("{}"))
		return err == nil
	}
	if !trusts(first) || trusts(second) {
		t.Fatal("the certificate is not the first one")
	}
	s.issue(t, second)
	if err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		return trusts(second), nil
	}); err != nil {
		t.Fatal("the certificate never is the second one")
	}
	if trusts(first) {
		t.Error("the certificate is still the first one")
	}
}
