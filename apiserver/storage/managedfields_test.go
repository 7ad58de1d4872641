package storage

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/managedfields"
	apiopenapi "k8s.io/apiserver/pkg/endpoints/openapi"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	openapiutil "k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient"
	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/openapi"
	"github.com/ambient-code/ambient-kube/apiserver/ownership"
)

const reporter = ownership.ReportManager

// reports is a stand of sessions whose status is reported by server-side apply,
// as the API machinery does it.
type reports struct {
	*stand
	owner   *ownership.DerivedOwners
	manager *managedfields.FieldManager
	spec    *managedfields.FieldManager
}

const sessionKey = "/sessions/ns/one"

func newReports(t *testing.T) *reports {
	t.Helper()
	scheme := runtime.NewScheme()
	ambient.Install(scheme)
	kind := v1alpha1.SchemeGroupVersion.WithKind("Session")
	converter := typeConverter(t, scheme)
	owner := &ownership.DerivedOwners{
		ReadOnly:           []string{"createdBy"},
		Kind:               kind,
		Converter:          converter,
		Computed:           []string{"sessionID", "projectID"},
		ComputedConditions: []string{"Ready", "Translated"},
		RequestPhases:      []string{"Pending", "Stopping"},
	}
	r := &reports{owner: owner}
	for subresource, manager := range map[string]**managedfields.FieldManager{"status": &r.manager, "": &r.spec} {
		var err error
		*manager, err = managedfields.NewDefaultFieldManager(converter, scheme, scheme, scheme, kind,
			schema.GroupVersion{Group: kind.Group, Version: runtime.APIVersionInternal}, subresource, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	r.stand = newStand(t, standOptions{adjust: func(o *Options) {
		o.NewFunc = func() runtime.Object { return &v1alpha1.Session{} }
		o.NewListFunc = func() runtime.Object { return &v1alpha1.SessionList{} }
		o.ResourcePrefix = "/sessions"
		o.Codec = serializer.NewCodecFactory(scheme).LegacyCodec(v1alpha1.SchemeGroupVersion)
		o.PrepareExisting = owner.Derive
		o.Settle = owner.Settle
	}})
	// A backend does not store what is derived.
	r.upstream.stored = func(object runtime.Object) {
		session := object.(*v1alpha1.Session)
		session.ManagedFields = ownership.Stored(session.ManagedFields)
	}
	return r
}

func typeConverter(t *testing.T, scheme *runtime.Scheme) managedfields.TypeConverter {
	t.Helper()
	namer := apiopenapi.NewDefinitionNamer(scheme)
	schemas, err := builder3.BuildOpenAPIDefinitionsForResources(&common.OpenAPIV3Config{
		Info:              &spec.Info{},
		GetDefinitions:    openapi.GetOpenAPIDefinitions,
		GetDefinitionName: namer.GetDefinitionName,
	}, openapiutil.GetCanonicalTypeName(&v1alpha1.Session{}))
	if err != nil {
		t.Fatal(err)
	}
	converter, err := managedfields.NewTypeConverter(schemas, false)
	if err != nil {
		t.Fatal(err)
	}
	return converter
}

// born puts a session into the world upstream, with a status.
func (r *reports) born(t *testing.T, status string) {
	t.Helper()
	r.upstream.behind(sessionKey, session(t, status))
	r.upstream.set(func(u *upstream) { u.fold(sessionKey) })
}

func session(t *testing.T, status string) *v1alpha1.Session {
	t.Helper()
	s := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "one", UID: "u"}}
	s.Spec.Prompt = "hello"
	if err := json.Unmarshal([]byte(status), &s.Status); err != nil {
		t.Fatal(err)
	}
	return s
}

// apply applies a configuration through a field manager.
func (r *reports) apply(t *testing.T, through *managedfields.FieldManager, manager, content string, force bool) (*v1alpha1.Session, error) {
	t.Helper()
	patch := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(`{"apiVersion":"ambient.io/v1alpha1","kind":"Session","metadata":{"name":"one","namespace":"ns"},`+content+`}`), &patch.Object); err != nil {
		t.Fatal(err)
	}
	return r.change(func(existing runtime.Object) (runtime.Object, error) {
		return through.Apply(existing, patch, manager, force)
	})
}

func (r *reports) change(change func(runtime.Object) (runtime.Object, error)) (*v1alpha1.Session, error) {
	out := &v1alpha1.Session{}
	err := r.served.GuaranteedUpdate(context.Background(), sessionKey, out, false, nil,
		func(existing runtime.Object, _ apistorage.ResponseMeta) (runtime.Object, *uint64, error) {
			updated, err := change(existing)
			return updated, nil, err
		}, nil)
	return out, err
}

const fullStatus = `{
	"sessionID": "Abc", "phase": "Running", "startTime": "2026-01-02T03:04:05Z",
	"conditions": [
		{"type": "Ready", "status": "True", "reason": "r", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"},
		{"type": "Projected", "status": "True", "reason": "r", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}
	]}`

const projectedFields = `"f:conditions":{"k:{\"type\":\"Projected\"}":{".":{},"f:lastTransitionTime":{},"f:message":{},"f:reason":{},"f:status":{},"f:type":{}}}`

func TestDecision9TheReporterOwnsWhatWasReported(t *testing.T) {
	taken := metav1.ManagedFieldsEntry{
		Manager: "somebody", Operation: metav1.ManagedFieldsOperationApply, APIVersion: "ambient.io/v1alpha1",
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:status":{"f:phase":{}}}`), Subresource: "status",
	}
	ofSpec := taken
	ofSpec.FieldsV1, ofSpec.Subresource = metav1.NewFieldsV1(`{"f:spec":{"f:prompt":{}}}`), ""
	unreadable := taken
	unreadable.FieldsV1 = metav1.NewFieldsV1(`{"f:status":5}`)
	outdated := taken
	outdated.Manager, outdated.FieldsV1 = reporter, metav1.NewFieldsV1(`{"f:status":{"f:stoppedReason":{}}}`)

	for name, test := range map[string]struct {
		status string
		stored []metav1.ManagedFieldsEntry
		want   string
		others []string
	}{
		"nothing for an empty status":    {status: `{}`},
		"nothing for a computed status":  {status: `{"sessionID": "Abc", "conditions": [{"type": "Ready", "status": "True", "reason": "r", "message": "", "lastTransitionTime": null}]}`},
		"nothing for a request":          {status: `{"phase": "Pending"}`},
		"a request beside a report":      {status: `{"phase": "Stopping", "stoppedReason": "user"}`, want: `{"f:status":{"f:stoppedReason":{}}}`},
		"all else":                       {status: fullStatus, want: `{"f:status":{` + projectedFields + `,"f:phase":{},"f:startTime":{}}}`},
		"nothing that others took over":  {status: fullStatus, stored: []metav1.ManagedFieldsEntry{ofSpec, taken}, want: `{"f:status":{` + projectedFields + `,"f:startTime":{}}}`, others: []string{"somebody", "somebody"}},
		"nothing that was stored of it":  {status: `{"phase": "Running"}`, stored: []metav1.ManagedFieldsEntry{outdated}, want: `{"f:status":{"f:phase":{}}}`},
		"an entry that can't be read":    {status: `{"phase": "Running"}`, stored: []metav1.ManagedFieldsEntry{unreadable}, want: `{"f:status":{"f:phase":{}}}`, others: []string{"somebody"}},
		"others are kept without status": {status: `{}`, stored: []metav1.ManagedFieldsEntry{ofSpec}, others: []string{"somebody"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReports(t)
			object := session(t, test.status)
			object.ManagedFields = test.stored
			if err := r.owner.Derive(object); err != nil {
				t.Fatal(err)
			}
			var got, upstream string
			var others []string
			for _, entry := range object.ManagedFields {
				switch {
				case entry.Manager == reporter:
					got = entry.FieldsV1.GetRawString()
				case entry.Manager == ownership.UpstreamManager:
					upstream = entry.FieldsV1.GetRawString()
				default:
					others = append(others, entry.Manager)
				}
			}
			if wanted := len(test.stored) == 0 || !slices.ContainsFunc(test.stored, ownership.OfSpec); wanted != (upstream == `{"f:spec":{"f:prompt":{}}}`) {
				t.Errorf("the upstream owns %q", upstream)
			}
			if got != test.want || !slices.Equal(others, test.others) {
				t.Errorf("got %s beside %v\nwant %s beside %v", got, others, test.want, test.others)
			}
		})
	}
}

func TestDecision9ASecondIdenticalReportWritesNothing(t *testing.T) {
	for name, report := range map[string]string{
		"a usual report":                `"status":{"phase":"Running","startTime":"2026-01-02T03:04:05Z"}`,
		"one that keeps a request":      `"status":{"phase":"Pending","stoppedReason":"user"}`,
		"one that repeats the computed": `"status":{"sessionID":"Abc","phase":"Failed"}`,
	} {
		t.Run(name, func(t *testing.T) {
			r := newReports(t)
			r.born(t, `{"sessionID": "Abc"}`)
			first, err := r.apply(t, r.manager, reporter, report, true)
			if err != nil {
				t.Fatal(err)
			}
			r.upstream.counted()
			second, err := r.apply(t, r.manager, reporter, report, true)
			if err != nil {
				t.Fatal(err)
			}
			r.expectCalls(t, "reporting again", map[string]int{})
			if first.ResourceVersion != second.ResourceVersion {
				t.Errorf("the revision went from %s to %s", first.ResourceVersion, second.ResourceVersion)
			}
		})
	}
}

// What a report leaves out is taken away, as for any field that a manager applied
// before; what is computed stays.
func TestDecision9AReportTakesAwayWhatItLeavesOut(t *testing.T) {
	r := newReports(t)
	r.born(t, fullStatus)
	out, err := r.apply(t, r.manager, reporter, `"status":{"phase":"Completed","conditions":[
		{"type":"Other","status":"True","reason":"r","message":"","lastTransitionTime":"2026-01-02T03:04:05Z"}]}`, true)
	if err != nil {
		t.Fatal(err)
	}
	status := out.Status
	if status.Phase != "Completed" || status.StartTime != nil {
		t.Errorf("got phase %s, start time %v", status.Phase, status.StartTime)
	}
	var conditions []string
	for _, condition := range status.Conditions {
		conditions = append(conditions, condition.Type)
	}
	slices.Sort(conditions)
	if status.SessionID != "Abc" || !slices.Equal(conditions, []string{"Other", "Ready"}) {
		t.Errorf("got session id %q, conditions %v", status.SessionID, conditions)
	}
}

// Others run into the reporter without ever having seen an entry of it.
func TestDecision9OthersConflictWithTheReporter(t *testing.T) {
	r := newReports(t)
	r.born(t, fullStatus)
	_, err := r.apply(t, r.manager, "somebody", `"status":{"phase":"Stopped"}`, false)
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), reporter) {
		t.Errorf("got %v", err)
	}
	out, err := r.apply(t, r.manager, "somebody", `"status":{"phase":"Stopped"}`, true)
	if err != nil || out.Status.Phase != "Stopped" {
		t.Fatalf("by force: %v, %v", out.Status.Phase, err)
	}
	_, err = r.apply(t, r.manager, reporter, `"status":{"phase":"Failed"}`, false)
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "somebody") {
		t.Errorf("the reporter afterwards: %v", err)
	}
}

func TestDecision9AnObjectThatNobodyAppliedToShowsNoManagedFields(t *testing.T) {
	r := newReports(t)
	r.born(t, fullStatus)
	expectUntracked := func(what string) {
		t.Helper()
		out := &v1alpha1.Session{}
		if err := r.served.Get(context.Background(), sessionKey, apistorage.GetOptions{}, out); err != nil {
			t.Fatal(err)
		}
		if len(out.ManagedFields) != 0 {
			t.Errorf("after %s: %v", what, out.ManagedFields)
		}
	}
	expectUntracked("its birth upstream")
	if _, err := r.apply(t, r.manager, reporter, `"status":{"phase":"Failed"}`, true); err != nil {
		t.Fatal(err)
	}
	expectUntracked("a report")
	out, err := r.change(func(existing runtime.Object) (runtime.Object, error) {
		updated := existing.DeepCopyObject().(*v1alpha1.Session)
		updated.Spec.Prompt = "edited"
		return r.spec.Update(existing, updated, "editor")
	})
	if err != nil || out.Spec.Prompt != "edited" {
		t.Fatalf("%v, %v", out.Spec.Prompt, err)
	}
	expectUntracked("an update")

	out, err = r.apply(t, r.spec, "gitops", `"spec":{"prompt":"edited"}`, false)
	if err != nil {
		t.Fatal(err)
	}
	var managers []string
	for _, entry := range out.ManagedFields {
		managers = append(managers, entry.Manager)
	}
	slices.Sort(managers)
	if !slices.Equal(managers, []string{ownership.UpstreamManager, "gitops"}) {
		t.Errorf("after an apply: %v", managers)
	}
}

// What came from the upstream is not taken over silently, by the first who
// applies as little as by the next.
func TestDecision9AnApplyConflictsWithTheUpstream(t *testing.T) {
	r := newReports(t)
	r.born(t, `{"sessionID": "Abc"}`)
	for range 2 {
		_, err := r.apply(t, r.spec, "gitops", `"spec":{"prompt":"other"}`, false)
		if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), ownership.UpstreamManager) || !strings.Contains(err.Error(), ".spec.prompt") {
			t.Fatalf("got %v", err)
		}
		// A field beside it is free.
		if _, err := r.apply(t, r.spec, "person", `"spec":{"displayName":"mine"}`, false); err != nil {
			t.Fatal(err)
		}
	}
	out, err := r.apply(t, r.spec, "gitops", `"spec":{"prompt":"other"}`, true)
	if err != nil || out.Spec.Prompt != "other" {
		t.Fatalf("by force: %v, %v", out.Spec.Prompt, err)
	}
	for _, entry := range out.ManagedFields {
		if entry.Manager == ownership.UpstreamManager {
			t.Errorf("afterwards the upstream still owns %s", entry.FieldsV1.GetRawString())
		}
	}
}
