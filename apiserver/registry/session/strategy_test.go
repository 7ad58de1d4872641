package session

import (
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

func pointer[T any](value T) *T { return &value }

// A replacement by the manifest that a session was created from lacks what the
// server and the upstream filled in.
func TestAReplacementByTheManifestKeepsWhatWasFilledIn(t *testing.T) {
	s := newStand(t, Hooks{})
	session := existing("a", v1alpha1.SessionRunning)
	session.Spec = v1alpha1.SessionSpec{
		DisplayName: "Chosen", Prompt: "old", CreatedBy: "ann", AgentID: "agent", ParentSessionID: "2Par", TimeoutSeconds: pointer[int32](300),
		LLM: &v1alpha1.LLMSettings{Model: "m", Temperature: pointer(0.7), MaxTokens: pointer[int32](4000)},
	}
	s.hold(session)
	if err := update(s, s.Session, "a", func(session *v1alpha1.Session) {
		session.Labels = nil
		session.Spec = v1alpha1.SessionSpec{Prompt: "new", LLM: &v1alpha1.LLMSettings{Temperature: pointer(0.0)}}
	}); err != nil {
		t.Fatal(err)
	}
	held := s.stored(t, "a")
	spec := held.Spec
	if held.Labels[v1alpha1.SessionIDLabel] != "2Abc" || spec.CreatedBy != "ann" || spec.AgentID != "agent" {
		t.Errorf("read-only values are gone: %v, %+v", held.Labels, spec)
	}
	if spec.DisplayName != "a" || spec.Prompt != "new" {
		t.Errorf("named %q, prompt %q", spec.DisplayName, spec.Prompt)
	}
	if spec.ParentSessionID != "2Par" || *spec.TimeoutSeconds != 300 || spec.LLM.Model != "m" || *spec.LLM.Temperature != 0 || *spec.LLM.MaxTokens != 4000 {
		t.Errorf("spec is %+v, %+v", spec, spec.LLM)
	}
	const kept = ": kept, since the upstream cannot clear it; set another value instead"
	if got, want := s.warnings.take(), []string{"spec.timeoutSeconds" + kept, "spec.parentSessionID" + kept, "spec.llm.model" + kept, "spec.llm.maxTokens" + kept}; !slices.Equal(got, want) {
		t.Errorf("warned %q", got)
	}
	err := update(s, s.Session, "a", func(session *v1alpha1.Session) { session.Spec.CreatedBy = "bob" })
	if !apierrors.IsInvalid(err) {
		t.Errorf("another creator: %v", err)
	}
}

func TestClientsAreWarnedOfWhatTheAgentDoesNotGet(t *testing.T) {
	s := newStand(t, Hooks{})
	if _, err := create(s, &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: v1alpha1.SessionSpec{
		BotAccountName: "bot", ResourceOverrides: &v1alpha1.ResourceOverrides{CPU: "1"},
		Environment: map[string]string{"SESSION_NAME": "secret", "NAMESPACE": "secret", "FINE": "secret"},
	}}, &metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	got := s.warnings.take()
	for i, prefix := range []string{"spec.botAccountName:", "spec.resourceOverrides:", "spec.environment[NAMESPACE]:", "spec.environment[SESSION_NAME]:"} {
		if i >= len(got) || !strings.HasPrefix(got[i], prefix) || strings.Contains(got[i], "secret") {
			t.Fatalf("warned %q", got)
		}
	}
	if len(got) != 4 {
		t.Errorf("warned %q", got)
	}
	if err := update(s, s.Session, "a", func(session *v1alpha1.Session) { session.Spec.Prompt = "x" }); err != nil {
		t.Fatal(err)
	}
	if got := s.warnings.take(); len(got) != 0 {
		t.Errorf("warned again of what did not change: %q", got)
	}
	if err := update(s, s.Session, "a", func(session *v1alpha1.Session) { session.Spec.Environment["NAMESPACE"] = "y" }); err != nil {
		t.Fatal(err)
	}
	if got := s.warnings.take(); len(got) != 1 || !strings.HasPrefix(got[0], "spec.environment[NAMESPACE]:") {
		t.Errorf("warned %q", got)
	}
}

func TestAppliedOwnershipStopsAtWhatIsReset(t *testing.T) {
	version := fieldpath.APIVersion("ambient.io/v1alpha1")
	spec := strategy{}.GetResetFields()[version]
	for _, path := range []fieldpath.Path{
		fieldpath.MakePathOrDie("status"), fieldpath.MakePathOrDie("spec", "createdBy"), fieldpath.MakePathOrDie("spec", "agentID"),
		fieldpath.MakePathOrDie("metadata", "labels", v1alpha1.SessionIDLabel),
	} {
		if !spec.Has(path) {
			t.Errorf("%s can be owned by appliers of the object", path)
		}
	}
	if spec.Has(fieldpath.MakePathOrDie("spec")) {
		t.Error("spec cannot be owned")
	}
	status := statusStrategy{}.GetResetFields()[version]
	if !status.Has(fieldpath.MakePathOrDie("spec")) || !status.Has(fieldpath.MakePathOrDie("metadata")) || status.Has(fieldpath.MakePathOrDie("status")) {
		t.Errorf("status resets %s", status)
	}
}

// Only who may write the status, the reconciler, gives names back, and only to a
// session that goes by its id.
func TestDecision13NamesAreGivenBackByTheStatusOnly(t *testing.T) {
	lost := &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Name: "2abc", Namespace: "team-a"},
		Spec:       v1alpha1.SessionSpec{DisplayName: "x"},
		Status:     v1alpha1.SessionStatus{SessionID: "2AbC"},
	}
	update := func(old *v1alpha1.Session, name string) *v1alpha1.Session {
		session := old.DeepCopy()
		metav1.SetMetaDataAnnotation(&session.ObjectMeta, v1alpha1.RestoreNameAnnotation, name)
		return session
	}
	ctx := t.Context()
	written := update(lost, "mine")
	statusStrategy{}.PrepareForUpdate(ctx, written, lost)
	if errs := (statusStrategy{}).ValidateUpdate(ctx, written, lost); len(errs) > 0 || written.Annotations[v1alpha1.RestoreNameAnnotation] != "mine" {
		t.Errorf("by the status: %v, annotations %v", errs, written.Annotations)
	}
	named := lost.DeepCopy()
	named.Name = "chosen"
	for why, errs := range map[string]field.ErrorList{
		"a name that is none":       statusStrategy{}.ValidateUpdate(ctx, update(lost, "Not.A.Name"), lost),
		"a session with a name":     statusStrategy{}.ValidateUpdate(ctx, update(named, "mine"), named),
		"an update of the session":  strategy{}.ValidateUpdate(ctx, update(lost, "mine"), lost),
		"the creation of a session": strategy{}.Validate(ctx, update(lost, "mine")),
	} {
		if !slices.ContainsFunc(errs, func(err *field.Error) bool { return err.Field == "metadata.annotations[ambient.io/restore-name]" }) {
			t.Errorf("%s: %v", why, errs)
		}
	}
}
