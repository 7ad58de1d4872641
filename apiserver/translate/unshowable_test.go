package translate

import (
	"math"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// lateText parses, and is in the year 10000 in UTC.
const lateText = "9999-12-31T23:59:59-01:00"

// unshowable are values that a list with them in it could not be written with, or
// that no client could read, each with what names it.
var unshowable = []struct {
	column, named string
	set           func(*ambientv1.Session)
}{
	{"llm_temperature", "llm_temperature is not a number that can be shown", func(s *ambientv1.Session) { s.LlmTemperature = proto.Float64(math.NaN()) }},
	{"llm_temperature", "llm_temperature is not a number that can be shown", func(s *ambientv1.Session) { s.LlmTemperature = proto.Float64(math.Inf(1)) }},
	{"llm_temperature", "llm_temperature is not a number that can be shown", func(s *ambientv1.Session) { s.LlmTemperature = proto.Float64(math.Inf(-1)) }},
	{"start_time", "start_time is not a time that can be shown", func(s *ambientv1.Session) { s.StartTime = &timestamppb.Timestamp{Seconds: 253402300800} }},
	{"start_time", "start_time is not a time that can be shown", func(s *ambientv1.Session) { s.StartTime = &timestamppb.Timestamp{Nanos: 1e9} }},
	{"completion_time", "completion_time is not a time that can be shown", func(s *ambientv1.Session) { s.CompletionTime = &timestamppb.Timestamp{Seconds: math.MinInt64} }},
	{"created_at", "created_at is not a time that can be shown", func(s *ambientv1.Session) {
		s.Metadata.CreatedAt = &timestamppb.Timestamp{Seconds: math.MaxInt64, Nanos: -1}
	}},
	{"conditions", "conditions[0].lastTransitionTime has the wrong type", func(s *ambientv1.Session) {
		s.Conditions = proto.String(`[{"type":"A","lastTransitionTime":"` + lateText + `"}]`)
	}},
	{"conditions", "conditions[0].lastActivityTime has the wrong type", func(s *ambientv1.Session) {
		s.Conditions = proto.String(`[{"type":"ambient.io/Details","lastActivityTime":"0000-12-31T23:59:59Z"}]`)
	}},
	{"reconciled_repos", "reconciled_repos[0].clonedAt has the wrong type", func(s *ambientv1.Session) {
		s.ReconciledRepos = proto.String(`[{"url":"u","clonedAt":"` + lateText + `"}]`)
	}},
	{"reconciled_workflow", "reconciled_workflow.appliedAt has the wrong type", func(s *ambientv1.Session) {
		s.ReconciledWorkflow = proto.String(`{"gitUrl":"g","appliedAt":"` + lateText + `"}`)
	}},
	{"annotations", `annotations["ambient.io/kubernetes"].deletionTimestamp is not what this server writes`, func(s *ambientv1.Session) {
		s.Annotations = proto.String(`{"ambient.io/kubernetes":"{\"deletionTimestamp\":\"` + lateText + `\"}"}`)
	}},
	{"annotations", `annotations["ambient.io/kubernetes"].managedFields is not what this server writes`, func(s *ambientv1.Session) {
		s.Annotations = proto.String(`{"ambient.io/kubernetes":"{\"managedFields\":[{\"manager\":\"m\",\"operation\":\"Apply\",\"time\":\"` + lateText + `\"}]}"}`)
	}},
}

// survives fails the test unless the object is the same after it was written out and
// read again.
func survives[T any](t testing.TB, object *T) {
	t.Helper()
	same(t, "written out and read again", throughJSON(t, object), object)
}

func TestWhatCannotBeWrittenOutIsLeftOutAndNamed(t *testing.T) {
	for _, test := range unshowable {
		t.Run(test.named, func(t *testing.T) {
			row := session(test.set)
			got := read(row)
			survives(t, got)
			if c := condition(got.Status.Conditions, "Translated"); c.Reason == "" || c.Message != "Upstream data that cannot be shown is left out: "+test.named {
				t.Errorf("Translated: %+v", c)
			}
			if again := read(proto.Clone(row).(*ambientv1.Session)); !Equal(got, again) || again.Generation != got.Generation {
				t.Error("the same row gives another object")
			}
		})
	}
}

// A write of anything else leaves it as it is.
func TestWhatCannotBeWrittenOutStaysUpstream(t *testing.T) {
	for _, test := range unshowable {
		t.Run(test.named, func(t *testing.T) {
			row := session(test.set)
			spec, status := update(t, row, func(s *v1alpha1.Session) { s.Spec.Prompt, s.Status.SDKSessionID = "new", "new" })
			sent := append(columns(spec), columns(status)...)
			if test.column != annotationsColumn && slices.Contains(sent, test.column) || !slices.Contains(sent, annotationsColumn) {
				t.Errorf("sent %v", sent)
			}
			before, _ := ReadReserved(row.GetAnnotations())
			after, _ := ReadReserved(spec.GetAnnotations())
			same(t, "what of the record cannot be read", after.Unknown, before.Unknown)
			if after.Generation != 2 {
				t.Errorf("the record says %s", spec.GetAnnotations())
			}
		})
	}
}

func TestWhatIsSetReplacesWhatCouldNotBeShown(t *testing.T) {
	for _, test := range unshowable {
		if test.column == createdColumn {
			continue // it is the upstream's own
		}
		t.Run(test.named, func(t *testing.T) {
			row := session(test.set)
			spec, status := update(t, row, func(s *v1alpha1.Session) {
				s.Spec.LLM = &v1alpha1.LLMSettings{Temperature: proto.Float64(0)}
				s.Status.StartTime, s.Status.CompletionTime, s.Status.LastActivityTime = seconds(started), seconds(completed), seconds(completed)
				s.Status.Conditions = []metav1.Condition{{Type: "A", Status: "True", LastTransitionTime: *seconds(started)}}
				s.Status.Repositories = []v1alpha1.ReconciledRepository{{URL: "u", ClonedAt: seconds(started)}}
				s.Status.Workflow = &v1alpha1.ReconciledWorkflow{GitURL: "g", AppliedAt: seconds(started)}
				s.DeletionTimestamp, s.ManagedFields = seconds(completed), metadata().ManagedFields
			})
			if c := condition(read(apply(row, spec, status)).Status.Conditions, "Translated"); c.Status != "" {
				t.Errorf("Translated: %s", c.Message)
			}
		})
	}
}

// The zero time is how programs in Go spell none, and Kubernetes writes it as null.
func TestTheZeroTimeIsNone(t *testing.T) {
	const zero = "0001-01-01T00:00:00"
	got := read(session(func(s *ambientv1.Session) {
		s.StartTime, s.CompletionTime = timestamppb.New(time.Time{}), timestamppb.New(time.Time{}.Add(time.Millisecond))
		s.Conditions = proto.String(`[{"type":"A","status":"True","lastTransitionTime":"` + zero + `Z"},{"type":"ambient.io/Details","lastActivityTime":"` + zero + `.5Z"}]`)
		s.ReconciledRepos = proto.String(`[{"url":"u","clonedAt":"` + zero + `Z"}]`)
	}))
	survives(t, got)
	if got.Status.StartTime != nil || got.Status.CompletionTime != nil || got.Status.LastActivityTime != nil || got.Status.Repositories[0].ClonedAt != nil {
		t.Errorf("status: %+v", got.Status)
	}
	same(t, "Translated", condition(got.Status.Conditions, "Translated"), metav1.Condition{})
}

func TestProjectsAndSettingsLeaveOutWhatCannotBeWrittenOut(t *testing.T) {
	const conditions = `[{\"type\":\"Ready\",\"status\":\"True\",\"lastTransitionTime\":\"` + lateText + `\"}]`
	row := project(`{"ambient.io/kubernetes":"{\"namespace\":\"n\",\"conditions\":` + conditions + `}","ambient.io/project-settings":"{\"labels\":{\"a\":\"b\"},\"conditions\":` + conditions + `}"}`)
	row.Metadata.CreatedAt.Nanos = -1
	held, settings := readProject(row), settingsRow("", "")
	settings.Metadata.CreatedAt.Nanos = -1
	survives(t, held)
	const left = "Upstream data that cannot be shown is left out: created_at is not a time that can be shown; "
	if c := condition(held.Status.Conditions, "Translated"); c.Message != left+`annotations["ambient.io/kubernetes"].conditions is not what this server writes` || held.Status.Namespace != "n" {
		t.Errorf("Translated: %s; %+v", c.Message, held.Status)
	}
	shown := translator.ProjectSettings(settings, row, 0)
	survives(t, shown)
	if c := condition(shown.Status.Conditions, "Translated"); c.Message != left+`project.annotations["ambient.io/project-settings"].conditions is not what this server writes` || shown.Labels["a"] != "b" {
		t.Errorf("Translated: %s; %+v", c.Message, shown.ObjectMeta)
	}
}

// What of a record cannot be read, or would make Kubernetes refuse every later update
// of the object, costs nothing else of it: not its name, and no finalizer.
func TestARecordLosesNothingBesideWhatCannotBeRead(t *testing.T) {
	for member, value := range map[string]string{
		"name":            `7`,
		"token":           `[ ]`,
		"generation":      `"x"`,
		"generateName":    `"a/b"`,
		"finalizers":      `["no finalizer!"]`,
		"ownerReferences": `[{"kind":"ConfigMap"}]`,
		"managedFields":   `[{"manager":"m","operation":"Guess"}]`,
		"conditions":      `[{"type":"A"},{"type":"A"}]`,
		"labels":          `{"no key!":"x"}`,
		"annotations":     `{"no key!":"x"}`,
		"others":          `{"x":{"deletionTimestamp":"` + lateText + `"}}`,
		"Cluster":         `{"another": "version"}`,
	} {
		t.Run(member, func(t *testing.T) {
			rest := Reserved{Name: "mine", Token: "t", Generation: 3, ClusterMetadata: ClusterMetadata{Finalizers: []string{"example.com/hold"}}, Labels: map[string]string{"a": "b"}}
			encoded, err := encodeReserved(rest)
			if err != nil {
				t.Fatal(err)
			}
			row := withAnnotations(editObject("", []change{{names: []string{ReservedAnnotation}, value: quote(editObject(encoded, []change{{names: []string{member}, value: value}}))}}))
			got := read(row)
			survives(t, got)
			if refused := apivalidation.ValidateObjectMeta(&got.ObjectMeta, true, path.ValidatePathSegmentName, nil); len(refused) > 0 {
				t.Errorf("Kubernetes refuses each update: %v", refused)
			}
			if (got.Name == "mine") != (member != "name") || (len(got.Finalizers) == 1) != (member != "finalizers") {
				t.Errorf("shown: %+v", got.ObjectMeta)
			}
			next := mustSpec(t, row, func(s *v1alpha1.Session) { s.Annotations = map[string]string{"note": "x"} }, "annotations")
			after, _ := ReadReserved(next.GetAnnotations())
			if member == "generation" {
				value = "" // it was written anew
			}
			if string(after.Unknown[member]) != value {
				t.Errorf("it became %s", next.GetAnnotations())
			}
		})
	}
}

// Programs that write JSON do not agree about the case of names.
func TestAMemberOfARecordThatIsThereTwiceIsReadOnce(t *testing.T) {
	reserved, found := ReadReserved(`{"ambient.io/kubernetes":"{\"NAME\":7,\"name\":\"n\",\"TOKEN\":\"t\",\"-\":1}"}`)
	if !found || reserved.Name != "n" || reserved.Token != "t" || len(reserved.Unknown) != 1 || string(reserved.Unknown["-"]) != "1" {
		t.Errorf("read %v, %+v", found, reserved)
	}
}
