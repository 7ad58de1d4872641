package gitops

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/go-logr/logr"
)

const (
	// patience is how long a test waits for what should happen soon.
	patience = time.Minute
	// interval is the pause between two looks.
	interval = 100 * time.Millisecond
	// owner is the field manager of Flux's controller, and ownerGroup the prefix of
	// its labels.
	owner, ownerGroup = "kustomize-controller", "kustomize.toolkit.fluxcd.io"
)

// The system under test.
var (
	kube client.Client
	// manager does what Flux's controller does with the objects of a Kustomization.
	manager *ssa.ResourceManager
	// counters is where the upstream says which calls it has answered.
	counters string
)

func TestMain(m *testing.M) {
	// The library would complain that nobody has told it where to.
	log.SetLogger(logr.Discard())
	if err := connect(os.Getenv("AMBIENT_GITOPS_KUBECONFIG"), os.Getenv("AMBIENT_GITOPS_COUNTERS")); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func connect(kubeconfig, upstream string) error {
	// Never the cluster that KUBECONFIG may name.
	if kubeconfig == "" || upstream == "" {
		return fmt.Errorf("AMBIENT_GITOPS_KUBECONFIG and AMBIENT_GITOPS_COUNTERS are not set: these tests are run by go test ./hack/e2e/gitops")
	}
	counters = upstream
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("reading %s: %w", kubeconfig, err)
	}
	config.QPS, config.Burst = 200, 400
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, transport)
	if err != nil {
		return fmt.Errorf("making a mapper: %w", err)
	}
	if kube, err = client.New(config, client.Options{Mapper: mapper, HTTPClient: transport}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	manager = ssa.NewResourceManager(kube, polling.NewStatusPoller(kube, mapper, polling.Options{}), ssa.Owner{Field: owner, Group: ownerGroup})
	manager.SetConcurrency(4)
	return nil
}

// manifests reads objects from YAML.
func manifests(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := utils.ReadObjects(strings.NewReader(text))
	if err != nil {
		t.Fatalf("reading manifests: %v\n%s", err, text)
	}
	return objects
}

// project, session and settings are manifests of the three kinds.
func project(name, metadata string) string {
	return fmt.Sprintf("---\napiVersion: ambient.io/v1alpha1\nkind: Project\nmetadata: {name: %s%s}\n", name, metadata)
}

func session(namespace, name string) string {
	return fmt.Sprintf("---\napiVersion: ambient.io/v1alpha1\nkind: Session\nmetadata: {name: %s, namespace: %s}\nspec: {prompt: Say hello}\n", name, namespace)
}

func settings(namespace string) string {
	return fmt.Sprintf("---\napiVersion: ambient.io/v1alpha1\nkind: ProjectSettings\nmetadata: {name: settings, namespace: %s}\nspec: {groupAccess: [{groupName: dev, role: view}]}\n", namespace)
}

// create makes the objects of the manifests, in order, and returns them.
func create(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	objects := manifests(t, text)
	for _, object := range objects {
		if err := kube.Create(t.Context(), object); err != nil {
			t.Fatalf("creating %s: %v", utils.FmtUnstructured(object), err)
		}
	}
	return objects
}

// read returns the present state of an object.
func read(t *testing.T, object *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	now := &unstructured.Unstructured{}
	now.SetGroupVersionKind(object.GroupVersionKind())
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(object), now); err != nil {
		t.Fatalf("reading %s: %v", utils.FmtUnstructured(object), err)
	}
	return now
}

// eventually waits until the condition returns nil.
func eventually(t *testing.T, what string, condition func() error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), interval, patience, true, func(context.Context) (bool, error) {
		last = condition()
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%s: not within %s: %v", what, patience, last)
	}
}

// patch merges YAML into an object.
func patch(t *testing.T, object *unstructured.Unstructured, text string, options ...client.PatchOption) {
	t.Helper()
	if err := kube.Patch(t.Context(), object, merging(t, text), options...); err != nil {
		t.Fatalf("patching %s: %v", utils.FmtUnstructured(object), err)
	}
}

// report merges YAML into an object's status.
func report(t *testing.T, object *unstructured.Unstructured, text string) {
	t.Helper()
	if err := kube.Status().Patch(t.Context(), object, merging(t, text)); err != nil {
		t.Fatalf("patching the status of %s: %v", utils.FmtUnstructured(object), err)
	}
}

func merging(t *testing.T, text string) client.Patch {
	t.Helper()
	body, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return client.RawPatch("application/merge-patch+json", body)
}

// upstreamWrites returns how many writes the upstream has answered.
func upstreamWrites(t *testing.T) int64 {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, counters, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("reading the upstream's counters: %v", err)
	}
	defer response.Body.Close()
	var answer struct {
		Calls map[string]int64 `json:"calls"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatalf("reading the upstream's counters: %v", err)
	}
	var writes int64
	for method, count := range answer.Calls {
		for _, verb := range []string{"Create", "Update", "Delete", "Push"} {
			if strings.HasPrefix(path.Base(method), verb) {
				writes += count
			}
		}
	}
	return writes
}

// settled waits until nobody writes to the upstream any more, and returns how many
// writes there were.
func settled(t *testing.T) int64 {
	t.Helper()
	before, same := upstreamWrites(t), 0
	eventually(t, "nobody writes to the upstream", func() error {
		now := upstreamWrites(t)
		if same++; now != before {
			before, same = now, 0
		}
		if same < 10 {
			return fmt.Errorf("%d writes so far", now)
		}
		return nil
	})
	return before
}

// field returns a field of an object, which has the zero value if it isn't there.
func field[T any](t *testing.T, object *unstructured.Unstructured, path ...string) T {
	t.Helper()
	var none T
	value, found, err := unstructured.NestedFieldNoCopy(object.Object, path...)
	if err != nil {
		t.Fatalf("reading %s of %s: %v", strings.Join(path, "."), utils.FmtUnstructured(object), err)
	}
	if !found {
		return none
	}
	typed, ok := value.(T)
	if !ok {
		t.Fatalf("%s of %s is a %T, want a %T", strings.Join(path, "."), utils.FmtUnstructured(object), value, none)
	}
	return typed
}
