package translate

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// carried is a session with a record whose annotations somebody made malformed.
func carried(t *testing.T, r Reserved) *ambientv1.Session {
	t.Helper()
	return withAnnotations(CarryReserved(annotationsWith(t, `{"note":"x"}`, r), "not json"))
}

func TestARecordIsReadBehindMalformedAnnotations(t *testing.T) {
	row := carried(t, Reserved{Name: "mine", Token: "t", Generation: 7, Cluster: thisCluster, ClusterMetadata: metadata()})
	got := read(row)
	if r, found := ReadReserved(row.GetAnnotations()); !found || r.Token != "t" || got.Name != "mine" || got.Generation != 7 {
		t.Errorf("read %+v, shown %+v", r, got.ObjectMeta)
	}
	same(t, "finalizers", got.Finalizers, metadata().Finalizers)
	same(t, "annotations", got.Annotations, nil)
	if c := condition(got.Status.Conditions, "Translated"); c.Message != "Upstream data that cannot be shown is left out: annotations is not a JSON object" {
		t.Errorf("Translated: %+v", c)
	}
}

// What stands there is somebody's, until a user changes what can stand nowhere else.
func TestMalformedAnnotationsAreWrittenOverForWishesOnly(t *testing.T) {
	row := carried(t, Reserved{
		Name: "mine", Token: "t", Generation: 7, Cluster: thisCluster, ClusterMetadata: metadata(), Others: map[types.UID]ClusterMetadata{otherCluster: metadata()},
	})
	mustSpec(t, row, func(*v1alpha1.Session) {})
	mustSpec(t, row, func(s *v1alpha1.Session) { s.Spec.Prompt, s.ManagedFields = "new", nil }, "prompt")
	for what, change := range map[string]func(*v1alpha1.Session){
		"an annotation": func(s *v1alpha1.Session) { s.Annotations = map[string]string{"a": "b"} },
		"a finalizer":   func(s *v1alpha1.Session) { s.Finalizers = nil },
	} {
		next := mustSpec(t, row, change, "annotations")
		r, _ := ReadReserved(next.GetAnnotations())
		if MalformedAnnotations(next.GetAnnotations()) || r.Name != "mine" || r.Token != "t" || len(r.Others) != 1 {
			t.Errorf("%s: %q", what, next.GetAnnotations())
		}
	}
}

// The managed fields of an object are no wish, in whichever cluster it is applied to.
func TestApplyingLeavesMalformedAnnotationsAlone(t *testing.T) {
	row := carried(t, Reserved{Name: "mine", Cluster: otherCluster, ClusterMetadata: metadata()})
	mustSpec(t, row, func(s *v1alpha1.Session) { s.Spec.Prompt, s.ManagedFields = "new", metadata().ManagedFields }, "prompt")
}

func TestRecordsOnAProjectAreCarriedTogether(t *testing.T) {
	const both = `{"ambient.io/kubernetes":"{\"projectedBy\":\"` + thisCluster + `\"}","ambient.io/project-settings":"{\"labels\":{\"a\":\"b\"}}"}`
	row, settings := project(CarryReserved(both, "not json")), settingsRow(`["g"]`, "")
	shown := translator.ProjectSettings(settings, row, 0)
	if readProject(row).Status.Cluster != thisCluster || shown.Labels["a"] != "b" {
		t.Errorf("shown: %+v", shown)
	}
	if _, onProject := updateSettings(t, settings, row, func(s *v1alpha1.ProjectSettings) { s.Spec.GroupAccess = nil }); onProject != nil {
		t.Errorf("written over for a specification: %v", onProject)
	}
	_, onProject := updateSettings(t, settings, row, func(s *v1alpha1.ProjectSettings) { s.Labels["a"] = "c" })
	_, emptied, err := translator.ProjectSettingsEmpty(settings, row)
	if err != nil {
		t.Fatal(err)
	}
	_, created, err := translator.ProjectSettingsCreate(shown, row)
	if err != nil {
		t.Fatal(err)
	}
	for what, request := range map[string]*ambientv1.UpdateProjectRequest{"changed": onProject, "emptied": emptied, "created": created} {
		if next := apply(row, request); MalformedAnnotations(next.GetAnnotations()) || readProject(next).Status.Cluster != thisCluster {
			t.Errorf("%s: %q", what, next.GetAnnotations())
		}
	}
}

// unmarked fails the test if a request holds what only readers are to see.
func unmarked(t testing.TB, requests ...protoreflect.ProtoMessage) {
	t.Helper()
	for _, request := range requests {
		request.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
			if field.Name() == "annotations" && strings.Contains(value.String(), carriedBehind) {
				t.Fatalf("sent: %q", value.String())
			}
			return true
		})
	}
}
