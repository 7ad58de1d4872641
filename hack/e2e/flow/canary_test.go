package flow

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// canary is in every secret of TestSecretsStayWhereTheyBelong.
const canary = "canary-7f3a9d51"

// traceEverything restarts our API server, until the test ends, with spans sent to a
// receiver and a log that says more than it does by default.
func traceEverything(t *testing.T) *harness.Receiver {
	t.Helper()
	receiver := harness.NewReceiver(t)
	configuration := filepath.Join(t.TempDir(), "tracing.yaml")
	text := "apiVersion: apiserver.config.k8s.io/v1beta1\nkind: TracingConfiguration\nendpoint: " + receiver.Address + "\nsamplingRatePerMillion: 1000000\n"
	if err := os.WriteFile(configuration, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := stand.Stack.Extension
	before := server.Spec()
	changed := before
	changed.Args = append(slices.Clone(before.Args), "--tracing-config-file="+configuration, "--v=7")
	terminate(t, server)
	if err := server.RestartWith(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { harness.RestartWith(t, server, before) })
	// kube-apiserver asks which kinds there are when it finds the server again.
	harness.Eventually(t, "our kinds are known again", func() error {
		groups, _, err := stand.Kubernetes.Discovery().ServerGroupsAndResources()
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(groups, func(group *metav1.APIGroup) bool { return group.Name == v1alpha1.GroupName }) {
			return fmt.Errorf("%d groups are, and not ours", len(groups))
		}
		return nil
	})
	return receiver
}

// TestARequestIsOneTrace follows a creation from the kube request through the storage
// to the upstream's call.
func TestARequestIsOneTrace(t *testing.T) {
	receiver := traceEverything(t)
	stand.NewSession(t, stand.NewProject(t), "traced")
	harness.Eventually(t, "the spans of a creation are received", func() error {
		byID := map[string]*tracev1.Span{}
		for _, span := range receiver.Spans() {
			byID[hex.EncodeToString(span.GetSpanId())] = span
		}
		for _, span := range byID {
			if !strings.HasSuffix(span.GetName(), "/CreateSession") {
				continue
			}
			var names []string
			for at := span; at != nil; at = byID[hex.EncodeToString(at.GetParentSpanId())] {
				names = append(names, at.GetName())
				if !bytes.Equal(at.GetTraceId(), span.GetTraceId()) {
					return fmt.Errorf("%s is of another trace than what it is a part of", at.GetName())
				}
			}
			path := strings.Join(names, " < ")
			if !strings.Contains(path, "/CreateSession < Storage.Create < ") || len(names) < 3 {
				return fmt.Errorf("the call is within %s", path)
			}
			return nil
		}
		return fmt.Errorf("none of %d spans is one of the upstream's call", len(byID))
	})
}

// TestSecretsStayWhereTheyBelong looks for secrets in everything that tells of them to
// people who may not see them.
func TestSecretsStayWhereTheyBelong(t *testing.T) {
	receiver := traceEverything(t)
	project := stand.NewProject(t)
	manifest := func(name, further string) string {
		return "apiVersion: ambient.io/v1alpha1\nkind: Session\nmetadata: {name: " + name + ", namespace: " + project + "}\n" +
			"spec:\n  prompt: Say " + canary + "\n  environment: {TOKEN: " + canary + "-token, SESSION_NAME: " + canary + "-reserved}\n" + further
	}
	stand.KubectlWithInput(t, manifest("worker", ""), "apply", "--server-side", "-f-")
	session := getSession(t, project, "worker")
	id := session.Status.SessionID
	resource := running(t, id)
	// Somebody's edit is healed; a request is refused; a value is malformed, too large,
	// or comes a second time; the session ends and goes.
	patchResource(t, resource, `{"spec":{"environmentVariables":{"TOKEN":"`+canary+`-edited"}}}`)
	harness.Eventually(t, "the edit is healed", func() error {
		resources, err := resourcesOf(t, id)
		if err != nil {
			return err
		}
		if len(resources) != 1 || text(&resources[0], "spec", "environmentVariables", "TOKEN") != canary+"-token" {
			return fmt.Errorf("there are %d AgenticSessions", len(resources))
		}
		return nil
	})
	stand.KubectlFails(t, manifest("wrong", "  temperature: "+canary+"\n"), "create", "-f-")
	stand.KubectlFails(t, manifest("wrong", "  model: ["+canary+"]\n"), "create", "-f-")
	stand.KubectlFails(t, manifest("worker", ""), "create", "-f-")
	stand.KubectlFails(t, manifest("large", "  description: "+strings.Repeat(canary, 400_000)+"\n"), "create", "-f-")
	ambient(t, project, "stop", "worker", "--wait")
	if err := stand.Ambient.AmbientV1alpha1().Sessions(project).Delete(t.Context(), "worker", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, id)

	token, err := os.ReadFile(stand.Stack.UpstreamTokenFile())
	if err != nil {
		t.Fatal(err)
	}
	clean := func(where, told string) {
		t.Helper()
		for name, secret := range map[string]string{"a value of a session": canary, "the upstream's token": strings.TrimSpace(string(token))} {
			if at := strings.Index(told, secret); at >= 0 {
				t.Errorf("%s tell of %s: %q", where, name, told[max(0, at-200):min(len(told), at+100)])
			}
		}
	}
	for _, p := range stand.Stack.Processes() {
		if p.Name() != stack.APIServerName && p.Name() != stack.ReconcilerName {
			continue
		}
		log, err := os.ReadFile(p.LogPath())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(log), "auditID") && p.Name() == stack.APIServerName {
			t.Error("the API server's log tells of no request: this proves nothing")
		}
		clean("the logs of "+p.Name(), string(log))
	}
	events, err := stand.Kubernetes.CoreV1().Events("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	healed := false
	for i := range events.Items {
		healed = healed || events.Items[i].Reason == "Healed" && events.Items[i].Namespace == project
		clean("events", events.Items[i].String())
	}
	if !healed {
		t.Error("no event tells of the edit: this proves nothing")
	}
	for program, text := range exposed(t) {
		clean("the metrics of "+program, text)
	}
	// They are sent in batches; the deletion's is the last that is of interest.
	var spans []byte
	harness.Eventually(t, "spans tell of the creation and of the deletion", func() error {
		spans = nil
		for _, span := range receiver.Spans() {
			raw, err := proto.Marshal(span)
			if err != nil {
				return err
			}
			spans = append(spans, raw...)
		}
		for _, call := range []string{"/CreateSession", "/DeleteSession"} {
			if !bytes.Contains(spans, []byte(call)) {
				return fmt.Errorf("none is of %s", call)
			}
		}
		return nil
	})
	clean("traces", string(spans))
	if leases, err := stand.Kubernetes.CoordinationV1().Leases("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	} else {
		clean("leases", leases.String())
	}
}
