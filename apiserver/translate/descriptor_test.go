package translate

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// samples are values that columns of JSON need so that something is shown.
var samples = map[string]string{
	"repos": `[{"url":"u"}]`, "resource_overrides": `{"cpu":"1"}`, "environment_variables": `{"A":"1"}`, "labels": `{"a":"b"}`,
	"annotations": `{"a":"b"}`, "conditions": `[{"type":"A","status":"True"}]`, "reconciled_repos": `[{"url":"u"}]`,
	"reconciled_workflow": `{"gitUrl":"g"}`, "group_access": `["g"]`, "repositories": `[{"url":"u"}]`,
}

// unmapped are the fields of rows that the API does not show, each with the reason.
var unmapped = map[protoreflect.FullName]string{
	"ambient.v1.ObjectReference.kind":       "it is the kind of the object, which the API has anyway",
	"ambient.v1.ObjectReference.href":       "it is the path in another API, made of kind and id",
	"ambient.v1.ObjectReference.updated_at": "it moves without a change, so that objects would change without one",
}

// unsent are the fields of requests that are never sent, each with the reason.
var unsent = map[protoreflect.FullName]string{
	"ambient.v1.CreateSessionRequest.created_by_user_id": "the upstream ignores it; the reserved annotation says who created the session",
	"ambient.v1.UpdateSessionRequest.project_id":         "an object's namespace cannot change",
	"ambient.v1.UpdateProjectRequest.name":               "an object's name cannot change",
	"ambient.v1.UpdateProjectSettingsRequest.project_id": "an object's namespace cannot change",
}

// walk calls visit with a row for each field of the message, in which only that
// field is set, nested fields one by one.
func walk(t *testing.T, empty proto.Message, visit func(field protoreflect.FieldDescriptor, row proto.Message)) {
	t.Helper()
	fields := empty.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if field.Message() != nil && field.Message().FullName() == "ambient.v1.ObjectReference" {
			walk(t, (&ambientv1.ObjectReference{}), func(inner protoreflect.FieldDescriptor, reference proto.Message) {
				row := proto.Clone(empty)
				row.ProtoReflect().Set(field, protoreflect.ValueOfMessage(reference.ProtoReflect()))
				visit(inner, row)
			})
			continue
		}
		row := proto.Clone(empty)
		row.ProtoReflect().Set(field, sample(t, row, field))
		visit(field, row)
	}
}

func sample(t *testing.T, row proto.Message, field protoreflect.FieldDescriptor) protoreflect.Value {
	t.Helper()
	switch field.Kind() {
	case protoreflect.StringKind:
		if text, found := samples[string(field.Name())]; found {
			return protoreflect.ValueOfString(text)
		}
		return protoreflect.ValueOfString("some-value")
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(0)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(0)
	case protoreflect.MessageKind:
		value := row.ProtoReflect().NewField(field)
		inner := value.Message()
		inner.Set(inner.Descriptor().Fields().ByName("seconds"), protoreflect.ValueOfInt64(1772600767))
		return value
	default:
		t.Fatalf("%s has a kind that this test does not know: %s", field.FullName(), field.Kind())
		return protoreflect.Value{}
	}
}

// TestEachFieldOfARowIsShown walks the upstream's descriptors: whoever adds a
// field must give it a place in the API or a reason here.
func TestEachFieldOfARowIsShown(t *testing.T) {
	show := func(row proto.Message) runtime.Object {
		switch row := row.(type) {
		case *ambientv1.Session:
			return translator.Session(row, Placement{})
		case *ambientv1.Project:
			return translator.Project(row, 0)
		case *ambientv1.ProjectSettings:
			return translator.ProjectSettings(row, nil, 0)
		default:
			t.Fatalf("no kind for %T", row)
			return nil
		}
	}
	used := map[protoreflect.FullName]bool{}
	count := 0
	for _, empty := range []proto.Message{&ambientv1.Session{}, &ambientv1.Project{}, &ambientv1.ProjectSettings{}} {
		before := show(empty)
		walk(t, empty, func(field protoreflect.FieldDescriptor, row proto.Message) {
			count++
			shown := !Equal(before, show(row))
			reason, excepted := unmapped[field.FullName()]
			used[field.FullName()] = true
			switch {
			case shown && excepted:
				t.Errorf("%s is shown, and yet on the list of exceptions", field.FullName())
			case !shown && !excepted:
				t.Errorf("%s has no place in the API and no reason for that", field.FullName())
			case excepted && reason == "":
				t.Errorf("%s has no reason", field.FullName())
			}
		})
	}
	for name := range unmapped {
		if !used[name] {
			t.Errorf("the exception %s is no field", name)
		}
	}
	if count < 50 {
		t.Errorf("only %d fields were walked", count)
	}
}

// TestEachFieldOfARequestIsSent changes all that can be changed, and looks for
// fields of requests that nothing ever fills in.
func TestEachFieldOfARequestIsSent(t *testing.T) {
	full := fullSession()
	row := session()
	current := read(row)
	desired := full.DeepCopy()
	desired.Status = v1alpha1.SessionStatus{
		ObservedGeneration: 1, Phase: v1alpha1.SessionRunning, StartTime: seconds(started), CompletionTime: seconds(completed), SDKSessionID: "s",
		AgenticSession:  &v1alpha1.AgenticSessionReference{Namespace: "n", Name: sessionID, UID: "u"},
		SDKRestartCount: proto.Int32(1), Repositories: []v1alpha1.ReconciledRepository{{URL: "u"}}, Workflow: &v1alpha1.ReconciledWorkflow{GitURL: "g"},
	}
	create, err := translator.SessionCreate(full, Reserved{})
	check(t, err)
	spec, status, err := translator.SessionUpdate(row, current, desired)
	check(t, err)
	wanted := &v1alpha1.Project{
		ObjectMeta: metav1.ObjectMeta{Name: "team-a", Labels: map[string]string{"a": "b"}},
		Spec:       v1alpha1.ProjectSpec{DisplayName: "d", Description: "d"}, Status: v1alpha1.ProjectStatus{Phase: "p"},
	}
	createProject, err := translator.ProjectCreate(wanted, Reserved{})
	check(t, err)
	updateProject, err := translator.ProjectUpdate(project(""), readProject(project("")), wanted)
	check(t, err)
	settings := &v1alpha1.ProjectSettings{
		ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "team-a"},
		Spec: v1alpha1.ProjectSettingsSpec{
			GroupAccess: []v1alpha1.GroupAccess{{GroupName: "g", Role: "view"}}, Repositories: []v1alpha1.ProjectRepository{{URL: "u"}},
		},
	}
	createSettings, _, err := translator.ProjectSettingsCreate(settings, nil)
	check(t, err)
	updateSettings, _, err := translator.ProjectSettingsUpdate(settingsRow("", ""), nil, translator.ProjectSettings(settingsRow("", ""), nil, 0), settings)
	check(t, err)

	for _, request := range []proto.Message{create, spec, status, createProject, updateProject, createSettings, updateSettings} {
		message := request.ProtoReflect()
		fields := message.Descriptor().Fields()
		for i := range fields.Len() {
			field := fields.Get(i)
			_, excepted := unsent[field.FullName()]
			if field.Name() != "id" && message.Has(field) == excepted {
				t.Errorf("%s: sent %v, excepted %v", field.FullName(), message.Has(field), excepted)
			}
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
