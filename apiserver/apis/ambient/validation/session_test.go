package validation

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

func pointer[T any](value T) *T { return &value }

// problems renders errors as "type: path", sorted.
func problems(errs field.ErrorList) []string {
	var texts []string
	for _, err := range errs {
		texts = append(texts, string(err.Type)+": "+err.Field)
	}
	slices.Sort(texts)
	return texts
}

func expect(t *testing.T, errs field.ErrorList, want ...string) {
	t.Helper()
	if got := problems(errs); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q\n%v", got, want, errs.ToAggregate())
	}
}

func validSession() *v1alpha1.Session {
	return &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Name: "fix-login", Namespace: "team-a", Annotations: map[string]string{"example.com/a": "b"}},
		Spec: v1alpha1.SessionSpec{
			DisplayName:  "Fix the login",
			Prompt:       "Fix it.",
			Repositories: []v1alpha1.Repository{{URL: "https://github.com/o/r.git", Branch: "main", Name: "r", AutoPush: pointer(true)}, {URL: "git@github.com:o/r.git"}},
			Workflow:     &v1alpha1.Workflow{GitURL: "ssh://git@host:2222/w", Branch: "main", Path: "a/b"},
			LLM:          &v1alpha1.LLMSettings{Model: "m", Temperature: pointer(0.0), MaxTokens: pointer[int32](0)},
			Environment:  map[string]string{"A_B": "c", "_x": ""}, TimeoutSeconds: pointer[int32](0),
			ResourceOverrides: &v1alpha1.ResourceOverrides{CPU: "500m", Memory: "2Gi", StorageClassName: "fast", PriorityClassName: "high"},
		},
	}
}

// badSessions breaks one rule each; the wanted problems hold at create and, where
// nothing is said, for an update that brings the change.
var badSessions = []struct {
	name   string
	change func(*v1alpha1.Session)
	want   []string
}{
	{"display name over 255 bytes", func(s *v1alpha1.Session) { s.Spec.DisplayName = strings.Repeat("ä", 128) }, []string{"FieldValueTooLong: spec.displayName"}},
	{"prompt over 1 MiB", func(s *v1alpha1.Session) { s.Spec.Prompt = strings.Repeat("x", MaxPromptBytes+1) }, []string{"FieldValueTooLong: spec.prompt"}},
	{"object over 1.5 MiB", func(s *v1alpha1.Session) {
		s.Spec.Prompt = strings.Repeat("x", MaxPromptBytes)
		s.Spec.Environment = map[string]string{"A": strings.Repeat("x", MaxPromptBytes)}
	}, []string{"FieldValueTooLong: spec"}},
	{"NUL in the prompt", func(s *v1alpha1.Session) { s.Spec.Prompt = "a\x00b" }, []string{"FieldValueInvalid: spec.prompt"}},
	{"bytes that are not UTF-8", func(s *v1alpha1.Session) { s.Spec.BotAccountName = "\xff" }, []string{"FieldValueInvalid: spec.botAccountName"}},
	{"NUL in a variable", func(s *v1alpha1.Session) { s.Spec.Environment = map[string]string{"TOKEN": "secret\x00"} }, []string{"FieldValueInvalid: spec.environment[TOKEN]"}},
	{"NUL in an annotation", func(s *v1alpha1.Session) { s.Annotations["example.com/a"] = "\x00" }, []string{"FieldValueInvalid: metadata.annotations[example.com/a]"}},
	{"NUL in a list", func(s *v1alpha1.Session) { s.Spec.Repositories[1].Name = "\x00" }, []string{"FieldValueInvalid: spec.repositories[1].name"}},
	{"NUL behind a pointer", func(s *v1alpha1.Session) { s.Spec.LLM.Model = "\x00" }, []string{"FieldValueInvalid: spec.llm.model"}},
	{"repository without a URL", func(s *v1alpha1.Session) { s.Spec.Repositories[1].URL = "" }, []string{"FieldValueRequired: spec.repositories[1].url"}},
	{"repository that is no URL", func(s *v1alpha1.Session) { s.Spec.Repositories[0].URL = "owner/repository" }, []string{"FieldValueInvalid: spec.repositories[0].url"}},
	{"repository that is an option of git", func(s *v1alpha1.Session) { s.Spec.RepositoryURL = "--upload-pack=x:y" }, []string{"FieldValueInvalid: spec.repositoryURL"}},
	{"repository with a space", func(s *v1alpha1.Session) { s.Spec.RepositoryURL = "https://host/a b" }, []string{"FieldValueInvalid: spec.repositoryURL"}},
	{"repository without a host", func(s *v1alpha1.Session) { s.Spec.RepositoryURL = "https:///path" }, []string{"FieldValueInvalid: spec.repositoryURL"}},
	{"repository directory outside the workspace", func(s *v1alpha1.Session) { s.Spec.Repositories[0].Name = "../x" }, []string{"FieldValueInvalid: spec.repositories[0].name"}},
	{"branch that is an option of git", func(s *v1alpha1.Session) { s.Spec.Repositories[0].Branch = "-b" }, []string{"FieldValueInvalid: spec.repositories[0].branch"}},
	{"workflow by id and URL", func(s *v1alpha1.Session) { s.Spec.Workflow.ID = "w1" }, []string{
		"FieldValueForbidden: spec.workflow.branch", "FieldValueForbidden: spec.workflow.gitURL", "FieldValueForbidden: spec.workflow.path"}},
	{"workflow path without a URL", func(s *v1alpha1.Session) { s.Spec.Workflow.GitURL = "" }, []string{"FieldValueRequired: spec.workflow.gitURL"}},
	{"workflow id that would be read as JSON", func(s *v1alpha1.Session) { s.Spec.Workflow = &v1alpha1.Workflow{ID: "{}"} }, []string{"FieldValueInvalid: spec.workflow.id"}},
	{"temperature below 0", func(s *v1alpha1.Session) { s.Spec.LLM.Temperature = pointer(-0.1) }, []string{"FieldValueInvalid: spec.llm.temperature"}},
	{"temperature above 2", func(s *v1alpha1.Session) { s.Spec.LLM.Temperature = pointer(2.1) }, []string{"FieldValueInvalid: spec.llm.temperature"}},
	{"negative tokens", func(s *v1alpha1.Session) { s.Spec.LLM.MaxTokens = pointer[int32](-1) }, []string{"FieldValueInvalid: spec.llm.maxTokens"}},
	{"negative timeout", func(s *v1alpha1.Session) { s.Spec.TimeoutSeconds = pointer[int32](-1) }, []string{"FieldValueInvalid: spec.timeoutSeconds"}},
	{"variable without a name", func(s *v1alpha1.Session) { s.Spec.Environment = map[string]string{"": "x"} }, []string{"FieldValueInvalid: spec.environment[]"}},
	{"variable with an equals sign", func(s *v1alpha1.Session) { s.Spec.Environment = map[string]string{"A=B": "x"} }, []string{"FieldValueInvalid: spec.environment[A=B]"}},
	{"CPU that is no quantity", func(s *v1alpha1.Session) { s.Spec.ResourceOverrides.CPU = "much" }, []string{"FieldValueInvalid: spec.resourceOverrides.cpu"}},
	{"memory of nothing", func(s *v1alpha1.Session) { s.Spec.ResourceOverrides.Memory = "0" }, []string{"FieldValueInvalid: spec.resourceOverrides.memory"}},
	{"storage class that is no name", func(s *v1alpha1.Session) { s.Spec.ResourceOverrides.StorageClassName = "A B" }, []string{"FieldValueInvalid: spec.resourceOverrides.storageClassName"}},
	{"priority class that is no name", func(s *v1alpha1.Session) { s.Spec.ResourceOverrides.PriorityClassName = "_" }, []string{"FieldValueInvalid: spec.resourceOverrides.priorityClassName"}},
	{"reserved annotations", func(s *v1alpha1.Session) {
		s.Annotations["ambient.io/kubernetes"], s.Annotations["ambient.io/project-settings"] = "{}", ""
	}, []string{"FieldValueForbidden: metadata.annotations[ambient.io/kubernetes]", "FieldValueForbidden: metadata.annotations[ambient.io/project-settings]"}},
}

func TestValidSessionsAreAccepted(t *testing.T) {
	expect(t, ValidateSession(validSession()))
	expect(t, ValidateSession(&v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "a"}}))
	expect(t, ValidateSessionUpdate(validSession(), validSession()))
	expect(t, ValidateSessionStatusUpdate(validSession(), validSession()))
}

func TestSessionsThatBreakARuleAreRefused(t *testing.T) {
	for _, bad := range badSessions {
		t.Run(bad.name, func(t *testing.T) {
			session := validSession()
			bad.change(session)
			expect(t, ValidateSession(session), bad.want...)
			expect(t, ValidateSessionUpdate(session, validSession()), bad.want...)
		})
	}
}

// What the upstream holds already must not keep anybody from editing the rest.
func TestSessionsThatBrokeARuleBeforeStayEditable(t *testing.T) {
	for _, bad := range badSessions {
		t.Run(bad.name, func(t *testing.T) {
			session := validSession()
			bad.change(session)
			edited := session.DeepCopy()
			edited.Labels = map[string]string{"x": ""}
			if !strings.HasPrefix(bad.name, "object") {
				edited.Spec.AssignedUserID = "somebody else"
			} else {
				session.Labels = map[string]string{"x": "y"}
			}
			expect(t, ValidateSessionUpdate(edited, session))
			edited.Status.Phase = v1alpha1.SessionRunning
			edited.Spec, edited.Labels = session.Spec, session.Labels
			expect(t, ValidateSessionStatusUpdate(edited, session))
		})
	}
}

func TestSessionNamesAreDNSLabels(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "0": true, "fix-login": true, strings.Repeat("a", 63): true,
		"": false, "Fix": false, "a.b": false, "-a": false, "a-": false, "a_b": false, strings.Repeat("a", 64): false,
	} {
		session := validSession()
		session.Name = name
		got := problems(ValidateSession(session))
		if ok != (len(got) == 0) || !ok && got[0] != "FieldValueInvalid: metadata.name" {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func TestSecretsAreNotRepeatedInMessages(t *testing.T) {
	session := validSession()
	session.Spec.Environment = map[string]string{"TOKEN": "hunter2\x00"}
	session.Spec.RepositoryURL = "https://me:hunter2@/with space"
	errs := ValidateSession(session)
	expect(t, errs, "FieldValueInvalid: spec.environment[TOKEN]", "FieldValueInvalid: spec.repositoryURL")
	if text := errs.ToAggregate().Error(); strings.Contains(text, "hunter2") {
		t.Errorf("the message repeats the secret: %s", text)
	}
}

func TestReadOnlyFieldsOfASessionAreRefused(t *testing.T) {
	session := validSession()
	session.Spec.AgentID = "agent"
	session.Labels = map[string]string{v1alpha1.SessionIDLabel: "id"}
	expect(t, ValidateSession(session), "FieldValueForbidden: metadata.labels[ambient.io/session-id]", "FieldValueForbidden: spec.agentID")

	old := validSession()
	old.Spec.AgentID, old.Spec.CreatedBy, old.Labels = "agent", "ann", map[string]string{v1alpha1.SessionIDLabel: "id"}
	changed := old.DeepCopy()
	changed.Spec.AgentID, changed.Spec.CreatedBy, changed.Labels[v1alpha1.SessionIDLabel] = "x", "x", "x"
	expect(t, ValidateSessionUpdate(changed, old),
		"FieldValueInvalid: metadata.labels[ambient.io/session-id]", "FieldValueInvalid: spec.agentID", "FieldValueInvalid: spec.createdBy")
}

func TestSessionStatusIsValidatedWhereItChanges(t *testing.T) {
	condition := metav1.Condition{Type: "Ready", Status: metav1.ConditionTrue, Reason: "Running", LastTransitionTime: metav1.Now()}
	last := metav1.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	// The same hour, where it is still the last year.
	late := metav1.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600))
	base := validSession()
	base.Status = v1alpha1.SessionStatus{
		Phase: v1alpha1.SessionRunning, SessionID: "2Abc", ProjectID: "team-a",
		AgenticSession: &v1alpha1.AgenticSessionReference{Name: "2Abc"}, Conditions: []metav1.Condition{condition},
	}
	for name, row := range map[string]struct {
		change func(*v1alpha1.SessionStatus)
		want   []string
	}{
		"every field may change": {func(s *v1alpha1.SessionStatus) {
			s.Phase, s.SDKSessionID, s.SDKRestartCount, s.ObservedGeneration = v1alpha1.SessionStopping, "x", pointer[int32](1), 3
			s.AgenticSession.Namespace, s.AgenticSession.UID = "team-a", "u"
			s.Conditions = append(s.Conditions, metav1.Condition{Type: "PodCreated", Status: "False", Reason: "Waiting", LastTransitionTime: metav1.Now()})
		}, nil},
		"a phase unknown to the upstream": {func(s *v1alpha1.SessionStatus) { s.Phase = "Paused" }, []string{"FieldValueNotSupported: status.phase"}},
		"back to no phase":                {func(s *v1alpha1.SessionStatus) { s.Phase = "" }, []string{"FieldValueNotSupported: status.phase"}},
		"identity": {func(s *v1alpha1.SessionStatus) {
			s.SessionID, s.ProjectID, s.AgenticSession.Name = "x", "x", "x"
		}, []string{"FieldValueInvalid: status.agenticSession.name", "FieldValueInvalid: status.projectID", "FieldValueInvalid: status.sessionID"}},
		"negative numbers": {func(s *v1alpha1.SessionStatus) { s.ObservedGeneration, s.SDKRestartCount = -1, pointer[int32](-1) },
			[]string{"FieldValueInvalid: status.observedGeneration", "FieldValueInvalid: status.sdkRestartCount"}},
		"condition without its parts": {func(s *v1alpha1.SessionStatus) {
			s.Conditions = append(s.Conditions, metav1.Condition{Type: "A b", Status: "Maybe"})
		},
			[]string{"FieldValueInvalid: status.conditions[1].type", "FieldValueNotSupported: status.conditions[1].status",
				"FieldValueRequired: status.conditions[1].lastTransitionTime", "FieldValueRequired: status.conditions[1].reason"}},
		"the same condition twice": {func(s *v1alpha1.SessionStatus) { s.Conditions = append(s.Conditions, condition) },
			[]string{"FieldValueDuplicate: status.conditions[1].type"}},
		"a status over 1.5 MiB": {func(s *v1alpha1.SessionStatus) { s.SDKSessionID = strings.Repeat("x", MaxObjectBytes) }, []string{"FieldValueTooLong: status"}},
		"times that nobody can read": {func(s *v1alpha1.SessionStatus) {
			s.StartTime, s.CompletionTime, s.LastActivityTime = &late, &late, &late
			s.Repositories = []v1alpha1.ReconciledRepository{{URL: "u", ClonedAt: &late}}
			s.Workflow = &v1alpha1.ReconciledWorkflow{AppliedAt: &late}
			s.Conditions[0].LastTransitionTime = metav1.Date(0, 12, 31, 0, 0, 0, 0, time.UTC)
		}, []string{"FieldValueInvalid: status.completionTime", "FieldValueInvalid: status.conditions[0].lastTransitionTime", "FieldValueInvalid: status.lastActivityTime",
			"FieldValueInvalid: status.repositories[0].clonedAt", "FieldValueInvalid: status.startTime", "FieldValueInvalid: status.workflow.appliedAt"}},
		"the first and the last time, and none": {func(s *v1alpha1.SessionStatus) {
			s.StartTime, s.CompletionTime, s.LastActivityTime = pointer(metav1.Date(1, 1, 1, 0, 0, 1, 0, time.UTC)), &last, &metav1.Time{}
		}, nil},
		"NUL in a condition": {func(s *v1alpha1.SessionStatus) { s.Conditions[0].Message = "\x00" }, []string{"FieldValueInvalid: status.conditions[0].message"}},
	} {
		t.Run(name, func(t *testing.T) {
			session := base.DeepCopy()
			row.change(&session.Status)
			expect(t, ValidateSessionStatusUpdate(session, base), row.want...)
		})
	}
}

func TestUnknownPhasesAndConditionsOfTheUpstreamMayStay(t *testing.T) {
	old := validSession()
	old.Status.Phase = "Paused"
	old.Status.Conditions = []metav1.Condition{{Type: "Weird type", Status: "?"}}
	session := old.DeepCopy()
	session.Status.SDKSessionID = "x"
	session.Status.Conditions = append([]metav1.Condition{{Type: "New", Status: "True", Reason: "R", LastTransitionTime: metav1.Now()}}, session.Status.Conditions...)
	expect(t, ValidateSessionStatusUpdate(session, old))
}

func TestATemperatureThatIsNoNumberIsRefused(t *testing.T) {
	session := validSession()
	session.Spec.LLM.Temperature = pointer(math.Inf(1))
	if got := problems(validateSessionSpec(&session.Spec, &v1alpha1.SessionSpec{})); !slices.Equal(got, []string{"FieldValueInvalid: spec.llm.temperature"}) {
		t.Errorf("infinite: %q", got)
	}
	session.Spec.LLM.Temperature = pointer(math.NaN())
	if got := problems(validateSessionSpec(&session.Spec, &v1alpha1.SessionSpec{})); !slices.Equal(got, []string{"FieldValueInvalid: spec.llm.temperature"}) {
		t.Errorf("not a number: %q", got)
	}
}
