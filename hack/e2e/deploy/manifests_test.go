package deploy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// kustomizations returns the folder of each overlay and, for each component, of a
// kustomization that adds it to the base.
func kustomizations(t *testing.T) map[string]string {
	t.Helper()
	manifests := filepath.Join(here.repository, "manifests")
	found := map[string]string{}
	for _, name := range folders(t, filepath.Join(manifests, "overlays")) {
		found["overlays/"+name] = filepath.Join(manifests, "overlays", name)
	}
	for _, name := range folders(t, filepath.Join(manifests, "components")) {
		folder, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		relative, err := filepath.Rel(folder, manifests)
		if err != nil {
			t.Fatal(err)
		}
		text := "resources: [" + relative + "/base]\ncomponents: [" + relative + "/components/" + name + "]\n"
		if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		found["components/"+name] = folder
	}
	return found
}

func folders(t *testing.T, parent string) []string {
	t.Helper()
	entries, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// objects reads the documents of a YAML text.
func objects(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var result []*unstructured.Unstructured
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return result
		}
		if err != nil {
			t.Fatal(err)
		}
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, &object.Object); err != nil {
			t.Fatalf("%v in %s", err, document)
		}
		if len(bytes.TrimSpace(document)) > 0 {
			result = append(result, object)
		}
	}
}

// deployments returns the Deployments among the objects.
func deployments(t *testing.T, all []*unstructured.Unstructured) []appsv1.Deployment {
	t.Helper()
	var result []appsv1.Deployment
	for _, object := range all {
		if object.GetKind() == "Deployment" {
			result = append(result, convert[appsv1.Deployment](t, object))
		}
	}
	return result
}

// prepareNamespace makes what a pod of ours refers to, and what only other projects
// define.
func prepareNamespace(t *testing.T) {
	t.Helper()
	base := objects(t, here.mustKubectl(t, "", "kustomize", filepath.Join(here.repository, "manifests", "base")))
	for _, object := range base {
		if slices.Contains([]string{"Namespace", "PriorityClass", "ServiceAccount"}, object.GetKind()) {
			text, err := yaml.Marshal(object.Object)
			if err != nil {
				t.Fatal(err)
			}
			here.mustKubectl(t, string(text), "apply", "--server-side", "-f", "-")
		}
	}
	definitions := filepath.Join("testdata", "definitions.yaml")
	here.mustKubectl(t, "", "apply", "--server-side", "-f", definitions)
	here.mustKubectl(t, "", "wait", "--for=condition=Established", "--timeout=60s", "-f", definitions)
}

// Every overlay and component is what kube-apiserver takes, without an unknown field,
// and its pods are what the restricted profile admits.
func TestEveryManifestIsAccepted(t *testing.T) {
	prepareNamespace(t)
	for name, folder := range kustomizations(t) {
		t.Run(name, func(t *testing.T) {
			text := here.mustKubectl(t, "", "kustomize", folder)
			// Definitions that were established a moment ago are discovered soon.
			harness.Eventually(t, "it is accepted", func() error {
				_, err := here.kubectl(t.Context(), []byte(text), "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
				return retriable(t, err)
			})
			all := deployments(t, objects(t, text))
			if len(all) < 2 {
				t.Errorf("there are %d Deployments", len(all))
			}
			for _, deployment := range all {
				admitted(t, deployment)
				sturdy(t, deployment)
				if strings.HasPrefix(name, "overlays/") {
					pinned(t, deployment)
				}
			}
		})
	}
}

// retriable passes an error on if it may go away by itself.
func retriable(t *testing.T, err error) error {
	t.Helper()
	if err != nil && !strings.Contains(err.Error(), "no matches for kind") {
		t.Fatal(err)
	}
	return err
}

// podOf is a pod as the Deployment makes them.
func podOf(deployment appsv1.Deployment) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: deployment.Namespace, Name: deployment.Name + "-judged", Labels: deployment.Spec.Template.Labels},
		Spec:       *deployment.Spec.Template.Spec.DeepCopy(),
	}
}

// admitted lets kube-apiserver judge a pod of the Deployment, and the same without one
// of the restrictions.
func admitted(t *testing.T, deployment appsv1.Deployment) {
	t.Helper()
	judge := func(pod *corev1.Pod) error {
		_, err := here.kube.CoreV1().Pods(pod.Namespace).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	if err := judge(podOf(deployment)); err != nil {
		t.Errorf("a pod of %s: %v", deployment.Name, err)
	}
	pod := podOf(deployment)
	pod.Spec.Containers[0].SecurityContext.Capabilities = nil
	if err := judge(pod); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "restricted") {
		t.Errorf("a pod of %s with all capabilities: %v, want a refusal", deployment.Name, err)
	}
}

// sturdy checks what no admission asks for.
func sturdy(t *testing.T, deployment appsv1.Deployment) {
	t.Helper()
	for _, container := range deployment.Spec.Template.Spec.Containers {
		security := container.SecurityContext
		if security == nil || security.ReadOnlyRootFilesystem == nil || !*security.ReadOnlyRootFilesystem {
			t.Errorf("%s: the container %s may write its root", deployment.Name, container.Name)
		}
		if security == nil || security.RunAsNonRoot == nil || !*security.RunAsNonRoot || security.SeccompProfile == nil {
			t.Errorf("%s: the container %s leaves runAsNonRoot or seccomp to the pod", deployment.Name, container.Name)
		}
		if container.LivenessProbe == nil || container.ReadinessProbe == nil {
			t.Errorf("%s: the container %s lacks a probe", deployment.Name, container.Name)
		}
		if container.Resources.Requests.Cpu().IsZero() || container.Resources.Requests.Memory().IsZero() || container.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s: the container %s lacks requests or a limit of memory", deployment.Name, container.Name)
		}
	}
}

// pinned wants a tag that says something.
func pinned(t *testing.T, deployment appsv1.Deployment) {
	t.Helper()
	for _, container := range deployment.Spec.Template.Spec.Containers {
		image := container.Image[strings.LastIndexByte(container.Image, '/')+1:]
		if _, tag, _ := strings.Cut(image, ":"); tag == "" || tag == "latest" {
			t.Errorf("%s: the image %s is not pinned", deployment.Name, container.Image)
		}
	}
}

// make, kustomize and --version agree on the release.
func TestRegistryAndTagAreHonoured(t *testing.T) {
	for _, overlay := range folders(t, filepath.Join(here.repository, "manifests", "overlays")) {
		text := here.mustMake(t, "manifests", "OVERLAY="+overlay, "IMAGE_REGISTRY=registry.example/folder")
		for _, deployment := range deployments(t, objects(t, text)) {
			want := "registry.example/folder/" + deployment.Name + ":" + release
			if image := deployment.Spec.Template.Spec.Containers[0].Image; image != want {
				t.Errorf("overlay %s: image %s, want %s", overlay, image, want)
			}
		}
	}
	if output, err := here.make(t.Context(), "manifests", "OVERLAY="); err == nil || !strings.Contains(output, "OVERLAY=production") {
		t.Errorf("without an overlay: %v, want a refusal that names them\n%s", err, output)
	}
	if output, err := here.make(t.Context(), "manifests", "OVERLAY=production", "IMAGE_TAG=latest"); err == nil || !strings.Contains(output, "name a release") {
		t.Errorf("with the tag latest: %v, want a refusal\n%s", err, output)
	}
	text := here.mustMake(t, "manifests", "OVERLAY=production", "IMAGE_TAG=")
	for _, deployment := range deployments(t, objects(t, text)) {
		if image := deployment.Spec.Template.Spec.Containers[0].Image; !strings.HasPrefix(image, "quay.io/ambient_code/"+deployment.Name+":v") {
			t.Errorf("the overlay's own image became %s", image)
		}
	}
}
