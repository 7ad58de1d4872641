package deploy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/controlplane"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// The local overlay is deployed, works with the rights that it brings, and is removed
// without a trace that hurts.
func TestTheLifeOfADeployment(t *testing.T) {
	overlay := overlayWithCertManager(t)
	deployWithCertManager(t, overlay)
	const project = "payments"
	t.Run("sessions are served, and projected", func(t *testing.T) { sessionsAreProjected(t, project) })
	overlay = "local"
	t.Run("the programs make their own certificates from now on", func(t *testing.T) { here.mustMake(t, "deploy", "OVERLAY="+overlay) })
	t.Run("a second deployment changes nothing", func(t *testing.T) { deployAgain(t, overlay) })
	t.Run("the release tells its version", versionsAreTold)
	t.Run("policies for our kinds are enforced", policiesAreEnforced)
	t.Run("webhooks are reached by their Service", func(t *testing.T) { webhooksAreReached(t, project) })
	t.Run("the standby takes over when the leader's pod is deleted", theStandbyTakesOver)
	t.Run("the rights suffice, and none is too many", rightsAreMinimal)
	t.Run("it leaves without harm", func(t *testing.T) { itLeaves(t, overlay, project) })
}

func sessionsAreProjected(t *testing.T, project string) {
	client := here.ambient.AmbientV1alpha1()
	if _, err := client.Projects().Create(t.Context(), &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: project}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the project has a namespace", func() error {
		_, err := here.kube.CoreV1().Namespaces().Get(t.Context(), project, metav1.GetOptions{})
		return err
	})
	countedBy(t, project)
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "worker"}, Spec: v1alpha1.SessionSpec{Prompt: "Say hello"}}
	if _, err := client.Sessions(project).Create(t.Context(), session, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the session is an AgenticSession", func() error {
		output, err := here.kubectl(t.Context(), nil, "get", "agenticsessions", "-n", project, "-o", "jsonpath={.items[*].spec.initialPrompt}")
		if err == nil && output != "Say hello" {
			err = fmt.Errorf("there is %q", output)
		}
		return err
	})
	// Both are told of by events.
	for _, request := range []string{"start", "stop"} {
		here.mustKubectl(t, "{}", "create", "--raw", "/apis/ambient.io/v1alpha1/namespaces/"+project+"/sessions/worker/"+request, "-f", "-")
	}
}

// countedBy makes a quota of the project's sessions, which our API server keeps.
func countedBy(t *testing.T, project string) {
	t.Helper()
	const counted = "count/sessions.ambient.io"
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "sessions"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{counted: resource.MustParse("9")}}}
	quotas := here.kube.CoreV1().ResourceQuotas(project)
	if _, err := quotas.Create(t.Context(), quota, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the quota counts", func() error {
		quota, err := quotas.Get(t.Context(), "sessions", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if _, known := quota.Status.Used[counted]; !known {
			return fmt.Errorf("used are %v", quota.Status.Used)
		}
		return nil
	})
}

func deployAgain(t *testing.T, overlay string) {
	generation := func() string {
		return here.mustKubectl(t, "", "get", "deployments", "-n", namespace, "-o", `jsonpath={range .items[*]}{.metadata.name} {.metadata.generation}{"\n"}{end}`)
	}
	before := generation()
	here.mustMake(t, "deploy", "OVERLAY="+overlay)
	if after := generation(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func podsOf(t *testing.T, program string) []corev1.Pod {
	t.Helper()
	pods, err := here.kube.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + program})
	if err != nil {
		t.Fatal(err)
	}
	return pods.Items
}

// versionsAreTold reads the metrics of every pod, as Prometheus would.
func versionsAreTold(t *testing.T) {
	here.mustKubectl(t, "", "apply", "--server-side", "-f", here.repository+"/manifests/components/monitoring/access.yaml")
	request := &authenticationv1.TokenRequest{}
	token, err := here.kube.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), "ambient-kube-metrics", request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := `version="` + release + `"} 1`
	for program, base := range map[string]string{apiserver: "https://%s:6443/metrics", reconciler: "http://%s:8081/metrics"} {
		var pods []corev1.Pod
		// Those of before a roll-out may take a while to end.
		harness.Eventually(t, program+" has two pods", func() error {
			if pods = podsOf(t, program); len(pods) != 2 {
				return fmt.Errorf("it has %d", len(pods))
			}
			return nil
		})
		for _, pod := range pods {
			if image := pod.Spec.Containers[0].Image; image != program+":"+release {
				t.Errorf("%s runs the image %s", pod.Name, image)
			}
			harness.Eventually(t, pod.Name+" tells its version", func() error {
				metrics, err := fetch(t, fmt.Sprintf(base, pod.Status.PodIP), token.Status.Token)
				if err == nil && !strings.Contains(metrics, want) {
					err = fmt.Errorf("no metric says %s", want)
				}
				return err
			})
		}
	}
}

func fetch(t *testing.T, url, token string) (body string, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := here.inside().Do(request)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	return string(text), err
}

const policy = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: no-weekends
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [ambient.io]
      apiVersions: [v1alpha1]
      operations: [CREATE]
      resources: [projects]
  validations:
  # What an expression may use depends on the version that the server takes itself for.
  - expression: "!ip.isCanonical('127.0.0.1') || !object.metadata.name.startsWith('weekend')"
    message: not at the weekend
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: no-weekends
spec:
  policyName: no-weekends
  validationActions: [Deny]
`

func policiesAreEnforced(t *testing.T) {
	here.mustKubectl(t, policy, "apply", "--server-side", "-f", "-")
	harness.Eventually(t, "the policy refuses", func() error {
		project := &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: "weekend"}}
		_, err := here.ambient.AmbientV1alpha1().Projects().Create(t.Context(), project, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return errors.New("it is accepted")
		}
		if !strings.Contains(err.Error(), "not at the weekend") {
			return fmt.Errorf("it is refused for another reason: %w", err)
		}
		return nil
	})
	here.mustKubectl(t, policy, "delete", "-f", "-")
}

// webhooksAreReached deletes a namespace that says that it is of a project that is
// gone, while the project lives: the policy believes it, the webhook does not.
func webhooksAreReached(t *testing.T, project string) {
	const name = "posing"
	posing := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{"ambient-code.io/project-id": project}, Annotations: map[string]string{"ambient.io/project-gone": "true"},
	}}
	if _, err := here.kube.CoreV1().Namespaces().Create(t.Context(), posing, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := here.kubectl(t.Context(), nil, "delete", "namespace", name, "--wait=false")
	if err == nil || !strings.Contains(err.Error(), "project-namespaces.ambient.io") || strings.Contains(err.Error(), "failed calling") {
		t.Errorf("deleting a namespace of a living project: %v, want the refusal of the webhook", err)
	}
}

// leader is the pod that the Service reaches.
func leader(t *testing.T) (name string, uid types.UID, err error) {
	t.Helper()
	pods, err := here.kube.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "ambient.io/serving=true"})
	if err != nil {
		return "", "", err
	}
	if len(pods.Items) != 1 {
		return "", "", fmt.Errorf("%d pods are said to serve", len(pods.Items))
	}
	return pods.Items[0].Name, pods.Items[0].UID, nil
}

func theStandbyTakesOver(t *testing.T) {
	name, uid, err := leader(t)
	if err != nil {
		t.Fatal(err)
	}
	here.mustKubectl(t, "", "delete", "pod", "-n", namespace, name, "--wait=false")
	harness.Eventually(t, "another pod serves", func() error {
		_, now, err := leader(t)
		if err == nil && now == uid {
			err = errors.New("it is the same one")
		}
		if err == nil {
			_, err = here.ambient.AmbientV1alpha1().Projects().List(t.Context(), metav1.ListOptions{})
		}
		return err
	})
	here.mustKubectl(t, "", "rollout", "status", "deployment/"+apiserver, "-n", namespace, "--timeout=60s")
}

// inside is a client that reaches pods at their addresses.
func (p *place) inside() *http.Client {
	dial := func(ctx context.Context, _, address string) (net.Conn, error) {
		socket := filepath.Join(controlplane.Folder(p.directory), "egress.sock")
		connection, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, err
		}
		if _, err := fmt.Fprintf(connection, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", address, address); err != nil {
			return nil, errors.Join(err, connection.Close())
		}
		answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil || answer.StatusCode != http.StatusOK {
			return nil, errors.Join(fmt.Errorf("the way to %s: %v", address, answer), err, connection.Close())
		}
		return connection, nil
	}
	return &http.Client{Timeout: harness.Patience, Transport: &http.Transport{
		DialContext: dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true, //nolint:gosec // as the PodMonitor does
	}}
}

// unasked are rights of our API server that no request shows, with the reason why each
// is given.
var unasked = map[string]string{
	"create secrets in ambient-system": "asked for by the program that comes first, of two",
	"patch events":                     "asked for when the same is to be told again",
	"patch leases.coordination.k8s.io/ambient-kube-apiserver in ambient-system": "asked for when a feed holds deletions back",
	"update secrets/ambient-kube-ca in ambient-system":                          "asked for when the authority is renewed",
}

func rightsAreMinimal(t *testing.T) {
	harness.CheckRights(t, here.kube, controlplane.AuditLog(here.directory), namespace, apiserver, unasked)
}

func itLeaves(t *testing.T, overlay, project string) {
	text := here.mustMake(t, "manifests", "OVERLAY="+overlay)
	here.mustMake(t, "undeploy", "OVERLAY="+overlay)
	left := here.mustKubectl(t, text, "get", "-f", "-", "--ignore-not-found", "-o", "name")
	for line := range strings.Lines(left) {
		if !strings.HasPrefix(line, "customresourcedefinition.apiextensions.k8s.io/") {
			t.Errorf("%s stays", strings.TrimSpace(line))
		}
	}
	if !strings.Contains(left, "agenticsessions.vteam.ambient-code") {
		t.Error("the definition of AgenticSessions is gone, and everybody's with it")
	}
	if output := here.mustKubectl(t, "", "get", "agenticsessions", "-n", project, "-o", "name"); output == "" {
		t.Error("the project's AgenticSessions are gone")
	}
	// Nothing asks for us any more.
	here.mustKubectl(t, "", "delete", "namespace", project, "--timeout=60s")
	if _, err := here.kube.CoreV1().Namespaces().Get(t.Context(), project, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the project's namespace: %v, want it gone", err)
	}
	if pods := podsOf(t, stack.UpstreamName); len(pods) != 0 {
		t.Errorf("%d pods run", len(pods))
	}
	logs, err := filepath.Glob(filepath.Join(here.PodsDirectory(), "logs", "*.log"))
	if err != nil || len(logs) < 6 {
		t.Errorf("logs to be looked through are %v, %v", logs, err)
	}
}
