package translate

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

func withAnnotations(annotations string) *ambientv1.Session {
	return session(func(s *ambientv1.Session) { s.Annotations = &annotations })
}

func metadata() ClusterMetadata {
	return ClusterMetadata{
		Finalizers:                 []string{"example.com/hold"},
		OwnerReferences:            []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "owner", UID: "u"}},
		DeletionTimestamp:          seconds(completed),
		DeletionGracePeriodSeconds: proto.Int64(0),
		ManagedFields: []metav1.ManagedFieldsEntry{{
			Manager: "kubectl", Operation: metav1.ManagedFieldsOperationApply, APIVersion: "ambient.io/v1alpha1", Time: seconds(created),
			FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:spec":{"f:prompt":{}}}`)},
		}},
	}
}

func TestReservedRoundTrip(t *testing.T) {
	want := Reserved{
		Name: "n", Token: "t", CreatedBy: `who <"&\`, GenerateName: "n-", Generation: 7, SpecHash: ".x",
		Cluster: thisCluster, ClusterMetadata: metadata(), Others: map[types.UID]ClusterMetadata{otherCluster: metadata()},
		DisplayName: "d", Conditions: []metav1.Condition{{Type: "Ready", Status: "True", LastTransitionTime: *seconds(created)}},
		ObservedGeneration: 6, Namespace: "ns", Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"}, Deleted: true,
	}
	annotations := annotationsWith(t, `{ "z":"1" , "a" : {"odd": 2} }`, want)
	if !strings.HasPrefix(annotations, `{ "z":"1" , "a" : {"odd": 2} , "ambient.io/kubernetes":"{`) {
		t.Errorf("the other annotations changed: %s", annotations)
	}
	got, found := ReadReserved(annotations)
	if !found {
		t.Fatal("not found")
	}
	same(t, "read back", got, want)
	if again := annotationsWith(t, annotations, got); again != annotations {
		t.Errorf("written again:\n%s\nwas:\n%s", again, annotations)
	}
}

// A newer version may have written more, and comes back after a roll-back.
func TestReservedKeepsWhatAnotherVersionWrote(t *testing.T) {
	annotations := `{"ambient.io/kubernetes":"{\"name\":\"n\",\"later\":{\"deep\":[1, 2]},\"generation\":3}"}`
	reserved, found := ReadReserved(annotations)
	if !found || reserved.Name != "n" || reserved.Generation != 3 || len(reserved.Unknown) != 1 {
		t.Fatalf("read %+v, %t", reserved, found)
	}
	reserved.Generation = 4
	again, found := ReadReserved(annotationsWith(t, annotations, reserved))
	if !found {
		t.Fatal("not found")
	}
	same(t, "read back", again, reserved)
	if got := string(again.Unknown["later"]); got != `{"deep":[1, 2]}` {
		t.Errorf("what is unknown became %s", got)
	}
}

func TestReservedIsNotPutIntoWhatIsNoObject(t *testing.T) {
	for _, annotations := range []string{"not json", "[]", `"x"`, "{} {}"} {
		if _, err := WithReserved(annotations, Reserved{Name: "n"}); !errors.Is(err, ErrMalformedAnnotations) {
			t.Errorf("%q: %v", annotations, err)
		}
	}
}

func TestReservedIsFoundHoweverItWasWritten(t *testing.T) {
	for annotations, want := range map[string]bool{
		`{"ambient.io/kubernetes":"{\"name\":\"n\"}"}`:                                                 true,
		`{"ambient.io\/kubernetes":"{\"name\":\"n\"}"}`:                                                true,
		`{"ambient.io/kubernetes":"{}","ambient.io/kubernetes":"{\"name\":\"n\"}"}`:                    true,
		`{"ambient.io/kubernetes":{"name":"n"}}`:                                                       false,
		`{"ambient.io/kubernetes":"[\"n\"]"}`:                                                          false,
		`{"ambient.io/kubernetes":"","x":"ambient.io/kubernetes"}`:                                     false,
		`not json "ambient.io/kubernetes":"{}"`:                                                        false,
		`{"other":"ambient.io/kubernetes"}`:                                                            false,
		`{"nested":{"ambient.io/kubernetes":"{\"name\":\"n\"}"}}`:                                      false,
		"{\"ambient.io/kubernetes\":\"{\\\"name\\\":\\\"n\\\",\\\"deletionTimestamp\\\":\\\"x\\\"}\"}": true,
	} {
		r, found := ReadReserved(annotations)
		if found != want || found && r.Name != "n" {
			t.Errorf("%s: %v, %+v", annotations, found, r)
		}
	}
}

func TestDecision13ChosenNames(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, test := range []struct{ name, id, annotations, want string }{
		{"born upstream", sessionID, "", strings.ToLower(sessionID)},
		{"chosen", sessionID, `{"ambient.io/kubernetes":"{\"name\":\"mine\"}"}`, "mine"},
		{"chosen, beside a member of the wrong type", sessionID, `{"ambient.io/kubernetes":"{\"name\":\"mine\",\"generation\":\"x\"}"}`, "mine"},
		{"no name for Kubernetes", sessionID, `{"ambient.io/kubernetes":"{\"name\":\"Mine.Not\"}"}`, strings.ToLower(sessionID)},
		{"too long a name", sessionID, `{"ambient.io/kubernetes":"{\"name\":\"` + long + `\"}"}`, strings.ToLower(sessionID)},
		{"malformed", sessionID, `{"ambient.io/kubernetes":"x"}`, strings.ToLower(sessionID)},
		{"an id that is no name", "a/b", "", "session-c14cddc033"},
		{"no id", "", "", "session-e3b0c44298"},
	} {
		row := session(func(s *ambientv1.Session) { s.Metadata.Id = test.id; s.Annotations = &test.annotations })
		if got := translator.SessionName(row); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestDecision13CollisionNames(t *testing.T) {
	long := strings.Repeat("a", 56) + "-" + strings.Repeat("b", 6)
	for _, name := range []string{"x", long, strings.Repeat("c", 63)} {
		one, two := CollisionName(name, "id-1"), CollisionName(name, "id-2")
		if one == two || !isLabel(one) || !isLabel(two) || one != CollisionName(name, "id-1") {
			t.Errorf("%q: %q and %q", name, one, two)
		}
	}
	if got := CollisionName("x", "id-1"); got != "x-"+hashText("id-1", 5) {
		t.Errorf("got %q", got)
	}
}

func TestDecision13UIDsNeverChange(t *testing.T) {
	for _, test := range []struct{ kind, id, project, want string }{
		{"Session", sessionID, "team-a", "26063375-b8da-5cf7-ad2a-c86b41f1a5a1"},
		{"Session", sessionID, "team-b", "de92af43-456f-55d6-a82b-998e0c989c7f"},
		{"Project", "team-a", "", "d49291a2-136e-51f9-8bfc-9a20839dd40f"},
	} {
		if got := UID(test.kind, test.id, test.project); string(got) != test.want {
			t.Errorf("%s %s in %s: %s, want %s", test.kind, test.id, test.project, got, test.want)
		}
	}
}

func TestNamespacesAreThoseOfUsableProjects(t *testing.T) {
	for id, want := range map[string]string{
		"": DefaultUnassignedNamespace, "team-a": "team-a", "Team": DefaultUnassignedNamespace, "a.b": DefaultUnassignedNamespace,
		"-a": DefaultUnassignedNamespace, "0": "0", strings.Repeat("a", 64): DefaultUnassignedNamespace, "a/b": DefaultUnassignedNamespace,
	} {
		row := session(func(s *ambientv1.Session) { s.ProjectId = &id })
		if got := translator.SessionNamespace(row); got != want {
			t.Errorf("%q: %q, want %q", id, got, want)
		}
	}
	if got := translator.SessionNamespace(&ambientv1.Session{}); got != DefaultUnassignedNamespace {
		t.Errorf("no project: %q", got)
	}
}

func TestDecision10MetadataOfThisClusterIsShown(t *testing.T) {
	for _, cluster := range []types.UID{thisCluster, ""} {
		row := withAnnotations(annotationsWith(t, "", Reserved{Cluster: cluster, ClusterMetadata: metadata(), GenerateName: "n-"}))
		got := read(row)
		want := metadata()
		same(t, "finalizers", got.Finalizers, want.Finalizers)
		same(t, "owners", got.OwnerReferences, want.OwnerReferences)
		same(t, "deletion", got.DeletionTimestamp, want.DeletionTimestamp)
		same(t, "grace", got.DeletionGracePeriodSeconds, want.DeletionGracePeriodSeconds)
		same(t, "managed fields", got.ManagedFields, want.ManagedFields)
		same(t, "generateName", got.GenerateName, "n-")
		spec, status, err := translator.SessionUpdate(row, got, throughJSON(t, got))
		if spec != nil || status != nil || err != nil {
			t.Errorf("cluster %q: nothing changed, but %v, %v, %v", cluster, spec, status, err)
		}
	}
}

func TestDecision10MetadataOfAnotherClusterIsKeptUnseen(t *testing.T) {
	const thirdCluster = "33333333-0000-0000-0000-000000000000"
	row := withAnnotations(annotationsWith(t, "", Reserved{
		Name: "mine", Cluster: otherCluster, ClusterMetadata: metadata(), Others: map[types.UID]ClusterMetadata{thirdCluster: metadata()},
	}))
	got := read(row)
	if got.Name != "mine" {
		t.Errorf("the name belongs to no cluster: %q", got.Name)
	}
	if got.Finalizers != nil || got.OwnerReferences != nil || got.DeletionTimestamp != nil || got.DeletionGracePeriodSeconds != nil || got.ManagedFields != nil {
		t.Fatalf("shown: %+v", got.ObjectMeta)
	}
	row = mustSpec(t, row, func(s *v1alpha1.Session) { s.Finalizers = []string{"example.com/ours"} }, "annotations")
	same(t, "ours", read(row).Finalizers, []string{"example.com/ours"})
	there := New(Options{Cluster: otherCluster}).Session(row, place(row))
	same(t, "theirs", there.Finalizers, metadata().Finalizers)
	same(t, "those of a third", New(Options{Cluster: thirdCluster}).Session(row, place(row)).Finalizers, metadata().Finalizers)
	same(t, "their managed fields", there.ManagedFields, metadata().ManagedFields)

	row = mustSpec(t, row, func(s *v1alpha1.Session) { s.Finalizers = nil }, "annotations")
	r, _ := ReadReserved(row.GetAnnotations())
	if len(r.Others) != 1 || r.Cluster != otherCluster || len(r.Finalizers) != 1 {
		t.Errorf("after ours went: %+v", r)
	}
}

func TestCarryReserved(t *testing.T) {
	const reserved, settings = `"ambient.io/kubernetes":"{\"name\":\"n\"}"`, `"ambient.io/project-settings":"{}"`
	for _, test := range []struct{ name, previous, next, want string }{
		{"nothing to carry", `{"a":"b"}`, `{"c":"d"}`, `{"c":"d"}`},
		{"still there", `{` + reserved + `}`, `{"x":"y",` + reserved + `}`, `{"x":"y",` + reserved + `}`},
		{"changed", `{` + reserved + `}`, `{"ambient.io/kubernetes":"{}"}`, `{"ambient.io/kubernetes":"{}"}`},
		{"lost", `{` + reserved + `,"a":"b"}`, `{ "c" : "d" }`, `{ "c" : "d","ambient.io/kubernetes" : "{\"name\":\"n\"}" }`},
		{"emptied", `{` + reserved + `}`, ``, `{` + reserved + `}`},
		{"null", `{` + reserved + `}`, `null`, `{` + reserved + `}`},
		{"one of two lost", `{` + reserved + `,` + settings + `}`, `{` + reserved + `}`, `{` + reserved + `,` + settings + `}`},
		{"both lost", `{` + settings + `,` + reserved + `}`, `{}`, `{` + reserved + `,` + settings + `}`},
		{"no place for it", `{` + reserved + `,"a":"b"}`, `not json`, "not json\x00{" + reserved + `}`},
		{"none again", "not json\x00{" + reserved + `}`, `[]`, "[]\x00{" + reserved + `}`},
		{"a place for it", "not json\x00{" + reserved + `,` + settings + `}`, `{"c":"d"}`, `{"c":"d",` + reserved + `,` + settings + `}`},
		{"emptied after that", "not json\x00{" + settings + `}`, ``, `{` + settings + `}`},
		{"nothing to carry on behind", `{}`, `not json`, `not json`},
	} {
		if got := CarryReserved(test.previous, test.next); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestDerivedManagedFieldsAreNotStored(t *testing.T) {
	derived := metav1.ManagedFieldsEntry{Manager: "ambient-kube-reconciler", Operation: metav1.ManagedFieldsOperationApply, Subresource: "status", Time: seconds(completed)}
	row := session()
	spec, status := update(t, row, func(s *v1alpha1.Session) {
		s.ManagedFields = append(s.ManagedFields, derived)
		s.Status.Phase = v1alpha1.SessionRunning
	})
	if spec != nil || len(columns(status)) != 1 {
		t.Errorf("sent %v and %v", spec, status)
	}
	other := derived
	other.Manager = "kubectl-edit"
	row = mustSpec(t, row, func(s *v1alpha1.Session) { s.ManagedFields = []metav1.ManagedFieldsEntry{derived, other} }, "annotations")
	same(t, "kept", read(row).ManagedFields, []metav1.ManagedFieldsEntry{other})
}
