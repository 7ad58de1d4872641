package translate

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

const (
	thisCluster  = "11111111-2222-3333-4444-555555555555"
	otherCluster = "99999999-8888-7777-6666-555555555555"
	sessionID    = "2aB3cD4eF5gH6iJ7kL8mN9oP0qR"
)

var (
	translator = New(Options{Cluster: thisCluster})
	created    = time.Date(2026, 3, 4, 5, 6, 7, 123456000, time.UTC)
	started    = time.Date(2026, 3, 4, 6, 0, 0, 500000000, time.UTC)
	completed  = time.Date(2026, 3, 4, 7, 0, 0, 0, time.UTC)
)

// session returns a row with the least that every row has, changed by with.
func session(with ...func(*ambientv1.Session)) *ambientv1.Session {
	row := &ambientv1.Session{
		Metadata: &ambientv1.ObjectReference{
			Id: sessionID, CreatedAt: timestamppb.New(created), UpdatedAt: timestamppb.New(created),
			Kind: "Session", Href: "/api/ambient/v1/sessions/" + sessionID,
		},
		Name:       "Fix the build",
		ProjectId:  proto.String("team-a"),
		KubeCrName: proto.String(sessionID),
	}
	for _, f := range with {
		f(row)
	}
	return row
}

func project(annotations string) *ambientv1.Project {
	row := &ambientv1.Project{
		Metadata: &ambientv1.ObjectReference{Id: "team-a", CreatedAt: timestamppb.New(created), Kind: "Project"},
		Name:     "team-a",
	}
	if annotations != "" {
		row.Annotations = &annotations
	}
	return row
}

func settingsRow(groupAccess, repositories string) *ambientv1.ProjectSettings {
	row := &ambientv1.ProjectSettings{
		Metadata:  &ambientv1.ObjectReference{Id: "2zY3cD4eF5gH6iJ7kL8mN9oP0qR", CreatedAt: timestamppb.New(created)},
		ProjectId: "team-a",
	}
	if groupAccess != "" {
		row.GroupAccess = &groupAccess
	}
	if repositories != "" {
		row.Repositories = &repositories
	}
	return row
}

// place is the placement that a row asks for.
func place(row *ambientv1.Session) Placement {
	return Placement{Namespace: translator.SessionNamespace(row), Name: translator.SessionName(row)}
}

func read(row *ambientv1.Session) *v1alpha1.Session { return translator.Session(row, place(row)) }

// apply does to a row what the upstream does with an update: fields that are
// present replace the row's.
func apply[R proto.Message](row R, requests ...proto.Message) R {
	next := proto.Clone(row).(R)
	for _, request := range requests {
		message := request.ProtoReflect()
		if !message.IsValid() {
			continue
		}
		message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
			if field.Name() != "id" {
				next.ProtoReflect().Set(next.ProtoReflect().Descriptor().Fields().ByName(field.Name()), value)
			}
			return true
		})
	}
	return next
}

// columns returns the names of the fields that a request carries, beside the id.
func columns(request proto.Message) []string {
	var names []string
	message := request.ProtoReflect()
	if !message.IsValid() {
		return nil
	}
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		if field := fields.Get(i); field.Name() != "id" && message.Has(field) {
			names = append(names, string(field.Name()))
		}
	}
	return names
}

// throughJSON is what a client that patches gets to change: the object as it
// looks after it was written out and read again.
func throughJSON[T any](t testing.TB, object *T) *T {
	t.Helper()
	encoded, err := json.Marshal(object)
	if err != nil {
		t.Fatalf("encoding: %v", err)
	}
	decoded := new(T)
	if err := json.Unmarshal(encoded, decoded); err != nil {
		t.Fatalf("decoding: %v", err)
	}
	return decoded
}

// same fails the test when two values differ in meaning.
func same[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if !equality.Semantic.DeepEqual(got, want) {
		t.Errorf("%s (-got +want):\n%s", what, cmp.Diff(got, want))
	}
}

// condition returns the condition of a type; the zero one when there is none.
func condition(conditions []metav1.Condition, conditionType string) metav1.Condition {
	if at := indexOfType(conditions, conditionType); at >= 0 {
		return conditions[at]
	}
	return metav1.Condition{}
}

// update runs SessionUpdate and fails the test on an error.
func update(t testing.TB, row *ambientv1.Session, change func(*v1alpha1.Session)) (*ambientv1.UpdateSessionRequest, *ambientv1.UpdateSessionStatusRequest) {
	t.Helper()
	current := read(row)
	desired := throughJSON(t, current)
	change(desired)
	spec, status, err := translator.SessionUpdate(row, current, desired)
	if err != nil {
		t.Fatalf("SessionUpdate: %v", err)
	}
	return spec, status
}

func annotationsWith(t testing.TB, annotations string, r Reserved) string {
	t.Helper()
	encoded, err := WithReserved(annotations, r)
	if err != nil {
		t.Fatalf("WithReserved: %v", err)
	}
	return encoded
}

func mustSpec(t testing.TB, row *ambientv1.Session, mutate func(*v1alpha1.Session), want ...string) *ambientv1.Session {
	t.Helper()
	spec, status := update(t, row, mutate)
	if got := fmt.Sprint(columns(spec)); got != fmt.Sprint(want) {
		t.Errorf("columns sent: %s, want %v", got, want)
	}
	if status != nil {
		t.Errorf("a status was sent: %v", status)
	}
	return apply(row, spec)
}

func protoName(name string) protoreflect.Name { return protoreflect.Name(name) }
