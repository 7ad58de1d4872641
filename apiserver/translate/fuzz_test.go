package translate

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

func FuzzScan(f *testing.F) {
	for _, text := range jsonTexts {
		f.Add(text)
	}
	f.Fuzz(checkScan)
}

// moments are times as a column may hold them: seconds since 1970, and nanoseconds.
var moments = []struct {
	seconds int64
	nanos   int32
}{{0, 0}, {-62135596800, 0}, {-62135596801, 999_999_999}, {253402300799, 999_999_999}, {253402300800, 0}, {1, -1}, {1, 1_000_000_000}, {math.MaxInt64, 0}, {math.MinInt64, math.MinInt32}}

var numbers = []float64{0.7, math.Copysign(0, -1), math.MaxFloat64, math.SmallestNonzeroFloat64, math.NaN(), math.Inf(1), math.Inf(-1)}

// oddTexts are JSON of the shapes that columns have, with values that cannot be shown.
var oddTexts = []string{
	`[{"type":"A","lastTransitionTime":"` + lateText + `"},{"type":"ambient.io/Details","lastActivityTime":"0001-01-01T00:00:00Z","observedGeneration":9223372036854775808}]`,
	`{"appliedAt":"` + lateText + `","cpu":1e400,"git_url":"\ud800","\u0000":"\u0000"}`,
	`[{"url":"\udfff","clonedAt":"0000-01-01T00:00:00Z","branches":["\u0000"]}]`,
	`{"ambient.io/kubernetes":"{\"name\":\"mine\",\"deletionTimestamp\":\"` + lateText + `\",\"managedFields\":[{\"operation\":\"Apply\",\"time\":\"0001-01-01T00:00:00Z\",\"fieldsV1\":{ \"f:spec\" : {\"<\":{}} }}]}"}`,
	`{"ambient.io/kubernetes":"{\"conditions\":[{\"type\":\"A\",\"lastTransitionTime\":\"2026-03-04T05:06:07.5Z\"}]}","ambient.io/project-settings":"{\"labels\":{\"no key!\":\"x\"},\"finalizers\":[\"x\"]}"}`,
}

// addRows adds a seed for each text, moment and number, the others being ordinary.
func addRows(f *testing.F, texts ...string) {
	for _, text := range slices.Concat(jsonTexts, oddTexts, texts) {
		f.Add(text, 0.7, created.Unix(), int32(0))
	}
	for _, moment := range moments {
		f.Add("", 0.7, moment.seconds, moment.nanos)
	}
	for _, number := range numbers {
		f.Add("", number, created.Unix(), int32(0))
	}
}

// FuzzSession puts the same text into every column of a session, and the same moment
// into all its times. The object must survive being written out, and sending it back
// must change nothing.
func FuzzSession(f *testing.F) {
	var texts []string
	for seed := range uint64(20) {
		row := newRandomRows(seed).session()
		texts = append(texts, row.GetAnnotations(), row.GetRepos(), row.GetConditions(), row.GetWorkflowId(), row.GetReconciledWorkflow())
	}
	addRows(f, texts...)
	f.Fuzz(func(t *testing.T, text string, number float64, seconds int64, nanos int32) {
		text = asReceived(text)
		row := session(func(s *ambientv1.Session) {
			s.Name, s.RepoUrl, s.Prompt, s.ProjectId, s.Phase, s.KubeCrName = text, &text, &text, &text, &text, &text
			s.Labels, s.Annotations, s.Repos, s.EnvironmentVariables, s.ResourceOverrides, s.WorkflowId = &text, &text, &text, &text, &text, &text
			s.Conditions, s.ReconciledRepos, s.ReconciledWorkflow = &text, &text, &text
			s.LlmTemperature, s.LlmMaxTokens, s.Timeout, s.SdkRestartCount = &number, &nanos, &nanos, &nanos
			moment := &timestamppb.Timestamp{Seconds: seconds, Nanos: nanos}
			s.StartTime, s.CompletionTime = moment, moment
			s.Metadata.Id, s.Metadata.CreatedAt = text, moment
		})
		placement := place(row)
		if !isLabel(placement.Name) || !isLabel(placement.Namespace) {
			t.Fatalf("placed at %+v", placement)
		}
		current := translator.Session(row, placement)
		if !Equal(current, translator.Session(row, placement)) {
			t.Fatal("the same row gives another object")
		}
		spec, status, err := translator.SessionUpdate(row, current, current.DeepCopy())
		if spec != nil || status != nil || err != nil {
			t.Fatalf("nothing changed, but %v, %v, %v", spec, status, err)
		}
		compact(current)
		survives(t, current)
		desired := throughJSON(t, current)
		desired.Spec.Repositories = append(desired.Spec.Repositories, v1alpha1.Repository{URL: "new", AutoPush: proto.Bool(true)})
		desired.Spec.Environment = map[string]string{"NEW": text}
		desired.Status.StoppedReason = "user"
		if spec, status, err = translator.SessionUpdate(row, current, desired); err != nil {
			t.Fatal(err)
		}
		for _, column := range []*string{spec.Repos, spec.EnvironmentVariables, conditionsOf(status)} {
			if column != nil && !json.Valid([]byte(*column)) {
				t.Fatalf("written: %q", *column)
			}
		}
		for _, column := range append(columns(spec), columns(status)...) {
			if slices.Contains([]string{temperatureColumn, startColumn, completionColumn}, column) {
				t.Fatalf("%s did not change, and was sent", column)
			}
		}
		got := translator.Session(apply(row, spec, status), placement)
		if got.Status.StoppedReason != "user" || got.Spec.Repositories[len(got.Spec.Repositories)-1].URL != "new" {
			t.Fatalf("read back: %+v", got)
		}
	})
}

// asReceived makes the text one that gRPC lets through.
func asReceived(text string) string { return strings.ToValidUTF8(text, "\ufffd") }

// compact brings managed fields, which are kept byte by byte, to the form that they are
// written in.
func compact(object metav1.Object) {
	fields := slices.Clone(object.GetManagedFields())
	for i := range fields {
		if encoded, err := json.Marshal(fields[i].FieldsV1); err == nil && fields[i].FieldsV1 != nil {
			fields[i].FieldsV1 = &metav1.FieldsV1{Raw: encoded}
		}
	}
	object.SetManagedFields(fields)
}

// FuzzProject does the same for a project and its settings.
func FuzzProject(f *testing.F) {
	var texts []string
	for seed := range uint64(20) {
		texts = append(texts, newRandomRows(seed).project().GetAnnotations())
	}
	addRows(f, texts...)
	f.Fuzz(func(t *testing.T, text string, _ float64, seconds int64, nanos int32) {
		text = asReceived(text)
		row, settings := project(text), settingsRow(text, text)
		row.Metadata.CreatedAt = &timestamppb.Timestamp{Seconds: seconds, Nanos: nanos}
		settings.Metadata.CreatedAt = row.Metadata.CreatedAt
		row.DisplayName, row.Description, row.Labels, row.Status = &text, &text, &text, &text
		current, set := readProject(row), translator.ProjectSettings(settings, row, 0)
		if request, err := translator.ProjectUpdate(row, current, current.DeepCopy()); request != nil || err != nil {
			t.Fatalf("nothing changed, but %v, %v", request, err)
		}
		compact(current)
		survives(t, current)
		compact(set)
		survives(t, set)
		desired := throughJSON(t, current)
		desired.Spec.Description, desired.Status.Namespace = "changed", "changed"
		request, err := translator.ProjectUpdate(row, current, desired)
		if err != nil {
			t.Fatal(err)
		}
		if got := readProject(apply(row, request)); got.Spec.Description != "changed" || !maps.Equal(got.Annotations, desired.Annotations) {
			t.Fatalf("read back: %+v", got)
		}
	})
}

func FuzzReserved(f *testing.F) {
	for _, text := range jsonTexts {
		f.Add(text)
	}
	f.Add(`{"ambient.io/kubernetes":"{\"name\":\"n\",\"others\":{\"x\":{}}}"}`)
	f.Add(`{"ambient.io\/kubernetes":"{\"managedFields\":[{\"fieldsV1\":null}]}"}`)
	f.Add(`{"ambient.io/kubernetes":"{\"name\":7,\"NAME\":\"n\",\"later\":[1, 2],\"generation\":\"x\"}"}`)
	for _, text := range append(oddTexts, "not json", "x\x00y", "x\x00{}", "{}\x00") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, annotations string) {
		annotations = asReceived(annotations)
		held, found := ReadReserved(annotations)
		if found {
			written, err := encodeReserved(held)
			if err != nil {
				t.Fatalf("it can be read, but not written: %v", err)
			}
			again, _ := decodeReserved(quote(written))
			if rewritten, err := encodeReserved(again); err != nil || rewritten != written {
				t.Fatalf("%s was written again as %s (%v)", written, rewritten, err)
			}
		}
		want := Reserved{Name: "n", Generation: 3, Cluster: thisCluster, ClusterMetadata: metadata()}
		if _, has := reservedValue(annotations, ReservedAnnotation); !has {
			row := withAnnotations(CarryReserved(annotationsWith(t, "", want), annotations))
			got, _ := ReadReserved(row.GetAnnotations())
			same(t, "carried", got, want)
			current := read(row)
			for _, change := range []func(*v1alpha1.Session){
				func(s *v1alpha1.Session) { s.Spec.Prompt = "changed" },
				func(s *v1alpha1.Session) { s.Finalizers = nil },
			} {
				desired := current.DeepCopy()
				change(desired)
				spec, _, err := translator.SessionUpdate(row, current, desired)
				if err != nil {
					t.Fatal(err)
				}
				unmarked(t, spec)
				same(t, "read back", read(apply(row, spec)).Finalizers, desired.Finalizers)
			}
		}
		next, err := WithReserved(annotations, want)
		if err != nil {
			return
		}
		got, found := ReadReserved(next)
		if !found {
			t.Fatalf("lost in %q", next)
		}
		same(t, "read back", got, want)
	})
}

func FuzzGroupAccess(f *testing.F) {
	for _, text := range jsonTexts {
		f.Add(text)
	}
	for seed := range uint64(20) {
		f.Add(newRandomRows(seed).settings().GetGroupAccess())
	}
	f.Fuzz(func(t *testing.T, text string) {
		row := settingsRow(text, text)
		current := translator.ProjectSettings(row, nil, 0)
		seen := map[v1alpha1.GroupAccess]bool{}
		for _, g := range current.Spec.GroupAccess {
			if seen[g] || g.GroupName == "" || g.Role == "" {
				t.Fatalf("shown: %+v", current.Spec.GroupAccess)
			}
			seen[g] = true
		}
		own, _, err := translator.ProjectSettingsUpdate(row, nil, current, current.DeepCopy())
		if own != nil || err != nil {
			t.Fatalf("nothing changed, but %v, %v", own, err)
		}
		added := v1alpha1.GroupAccess{GroupName: "new group", Role: "admin"}
		if seen[added] {
			return
		}
		desired := current.DeepCopy()
		desired.Spec.GroupAccess = append(desired.Spec.GroupAccess, added)
		if own, _, err = translator.ProjectSettingsUpdate(row, nil, current, desired); err != nil || !json.Valid([]byte(own.GetGroupAccess())) {
			t.Fatalf("%v, %v", own, err)
		}
		same(t, "read back", translator.ProjectSettings(apply(row, own), nil, 0).Spec.GroupAccess, desired.Spec.GroupAccess)
	})
}

// conditionsOf is the column as it is sent, if it is.
func conditionsOf(request *ambientv1.UpdateSessionStatusRequest) *string {
	if request == nil {
		return nil
	}
	return request.Conditions
}
