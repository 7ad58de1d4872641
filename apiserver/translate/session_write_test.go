package translate

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

func fullSession() *v1alpha1.Session {
	return &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{
			Name: "mine", Namespace: "team-a", Labels: map[string]string{"b": "2", "a": "1", "ambient.io/session-id": "forged"},
			Annotations: map[string]string{"note": "x", "ambient.io/kubernetes": "forged", "ambient.io/project-settings": "forged"},
			Finalizers:  []string{"example.com/hold"},
		},
		Spec: v1alpha1.SessionSpec{
			DisplayName: "Mine", Prompt: "Do.", RepositoryURL: "r",
			Repositories:   []v1alpha1.Repository{{URL: "u", Branch: "b", Name: "n", AutoPush: proto.Bool(true)}, {URL: "v"}},
			Workflow:       &v1alpha1.Workflow{GitURL: "g", Branch: "b", Path: "p"},
			LLM:            &v1alpha1.LLMSettings{Model: "m", Temperature: proto.Float64(0), MaxTokens: proto.Int32(0)},
			TimeoutSeconds: proto.Int32(0), Environment: map[string]string{"B": "<2>", "A": "1"},
			ResourceOverrides: &v1alpha1.ResourceOverrides{CPU: "1", Memory: "2Gi", StorageClassName: "s", PriorityClassName: "p"},
			ParentSessionID:   "parent", AssignedUserID: "bob", BotAccountName: "bot", CreatedBy: "ann",
		},
	}
}

func TestCreateSendsEverything(t *testing.T) {
	desired := fullSession()
	request, err := translator.SessionCreate(desired, Reserved{Name: "mine", Token: "once", CreatedBy: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	reserved, found := ReadReserved(request.GetAnnotations())
	if !found || reserved.Name != "mine" || reserved.Token != "once" || reserved.CreatedBy != "ann" || reserved.Generation != 1 || reserved.Cluster != thisCluster {
		t.Errorf("reserved: %+v", reserved)
	}
	if !strings.HasPrefix(request.GetAnnotations(), `{"note":"x","ambient.io/kubernetes":`) || strings.Contains(request.GetAnnotations(), "forged") {
		t.Errorf("annotations: %s", request.GetAnnotations())
	}
	request.Annotations = nil
	want := &ambientv1.CreateSessionRequest{
		Name: "Mine", RepoUrl: proto.String("r"), Prompt: proto.String("Do."), AssignedUserId: proto.String("bob"),
		WorkflowId: proto.String(`{"git_url":"g","branch":"b","path":"p"}`),
		Repos:      proto.String(`[{"url":"u","branch":"b","name":"n","auto_push":true},{"url":"v"}]`),
		Timeout:    proto.Int32(0), LlmModel: proto.String("m"), LlmTemperature: proto.Float64(0), LlmMaxTokens: proto.Int32(0),
		ParentSessionId: proto.String("parent"), BotAccountName: proto.String("bot"),
		ResourceOverrides:    proto.String(`{"cpu":"1","memory":"2Gi","storage_class":"s","priority_class":"p"}`),
		EnvironmentVariables: proto.String(`{"A":"1","B":"<2>"}`), Labels: proto.String(`{"a":"1","b":"2"}`), ProjectId: proto.String("team-a"),
	}
	if !proto.Equal(request, want) {
		t.Errorf("got  %v\nwant %v", request, want)
	}
}

func TestCreatedSessionsReadBackAsTheyWere(t *testing.T) {
	desired := fullSession()
	request, err := translator.SessionCreate(desired, Reserved{Name: "mine", CreatedBy: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	row := apply(session(), request)
	got := read(row)
	same(t, "spec", got.Spec, desired.Spec)
	same(t, "finalizers", got.Finalizers, desired.Finalizers)
	same(t, "annotations", got.Annotations, map[string]string{"note": "x"})
	same(t, "labels", got.Labels, map[string]string{"a": "1", "b": "2", "ambient.io/session-id": sessionID})
	if got.Name != "mine" || got.Namespace != "team-a" || got.Generation != 1 {
		t.Errorf("metadata: %+v", got.ObjectMeta)
	}
}

func TestCreateSendsNoMoreThanThereIs(t *testing.T) {
	desired := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "mine", Namespace: DefaultUnassignedNamespace}}
	request, err := translator.SessionCreate(desired, Reserved{Name: "mine"})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(columns(request), " "); got != "name annotations" || request.GetName() != "mine" {
		t.Errorf("sent %s, name %q", got, request.GetName())
	}
}

func TestUpdateSendsOnlyWhatChanged(t *testing.T) {
	row := apply(session(), func() proto.Message {
		request, err := translator.SessionCreate(fullSession(), Reserved{Name: "mine"})
		if err != nil {
			t.Fatal(err)
		}
		return request
	}())
	for _, test := range []struct {
		column string
		change func(*v1alpha1.Session)
		want   string
	}{
		{"name", func(s *v1alpha1.Session) { s.Spec.DisplayName = "x" }, "x"},
		{"prompt", func(s *v1alpha1.Session) { s.Spec.Prompt = "" }, ""},
		{"repo_url", func(s *v1alpha1.Session) { s.Spec.RepositoryURL = "" }, ""},
		{"assigned_user_id", func(s *v1alpha1.Session) { s.Spec.AssignedUserID = "" }, ""},
		{"bot_account_name", func(s *v1alpha1.Session) { s.Spec.BotAccountName = "" }, ""},
		{"parent_session_id", func(s *v1alpha1.Session) { s.Spec.ParentSessionID = "x" }, "x"},
		{"timeout", func(s *v1alpha1.Session) { s.Spec.TimeoutSeconds = proto.Int32(9) }, "9"},
		{"llm_model", func(s *v1alpha1.Session) { s.Spec.LLM.Model = "" }, ""},
		{"llm_temperature", func(s *v1alpha1.Session) { s.Spec.LLM.Temperature = proto.Float64(1.5) }, "1.5"},
		{"llm_max_tokens", func(s *v1alpha1.Session) { s.Spec.LLM.MaxTokens = proto.Int32(9) }, "9"},
		{"workflow_id", func(s *v1alpha1.Session) { s.Spec.Workflow = nil }, ""},
		{"workflow_id", func(s *v1alpha1.Session) { s.Spec.Workflow = &v1alpha1.Workflow{ID: "wf"} }, "wf"},
		{"workflow_id", func(s *v1alpha1.Session) { s.Spec.Workflow.Branch = "" }, `{"git_url":"g","path":"p"}`},
		{"repos", func(s *v1alpha1.Session) { s.Spec.Repositories = nil }, "[]"},
		{"repos", func(s *v1alpha1.Session) { s.Spec.Repositories[0].AutoPush = nil }, `[{"url":"u","branch":"b","name":"n"},{"url":"v"}]`},
		{"environment_variables", func(s *v1alpha1.Session) { s.Spec.Environment = nil }, "{}"},
		{"environment_variables", func(s *v1alpha1.Session) { delete(s.Spec.Environment, "A") }, `{"B":"<2>"}`},
		{"resource_overrides", func(s *v1alpha1.Session) { s.Spec.ResourceOverrides = nil }, "{}"},
		{"labels", func(s *v1alpha1.Session) { s.Labels = nil }, "{}"},
		{"labels", func(s *v1alpha1.Session) { s.Labels["c"] = "3" }, `{"a":"1","b":"2","c":"3"}`},
	} {
		sent := []string{test.column}
		if test.column != "labels" {
			sent = append(sent, "annotations")
		}
		next := mustSpec(t, row, test.change, sent...)
		message := next.ProtoReflect()
		if got := message.Get(message.Descriptor().Fields().ByName(protoName(test.column))).String(); got != test.want {
			t.Errorf("%s: %q, want %q", test.column, got, test.want)
		}
		desired := throughJSON(t, read(row))
		test.change(desired)
		desired.Labels = withSessionID(desired.Labels, sessionID)
		if desired.Spec.Workflow != nil && desired.Spec.Workflow.ID != "" {
			desired.Spec.Workflow = &v1alpha1.Workflow{ID: "wf"}
		}
		same(t, test.column+": spec read back", read(next).Spec, desired.Spec)
		same(t, test.column+": labels read back", read(next).Labels, desired.Labels)
	}
}

func TestWhatTheUpstreamCannotRemoveIsRefused(t *testing.T) {
	row := session(func(s *ambientv1.Session) {
		s.Timeout, s.LlmTemperature, s.LlmMaxTokens, s.ParentSessionId = proto.Int32(1), proto.Float64(1), proto.Int32(1), proto.String("p")
	})
	current := read(row)
	desired := current.DeepCopy()
	desired.Spec.TimeoutSeconds, desired.Spec.LLM, desired.Spec.ParentSessionID = nil, nil, ""
	_, _, err := translator.SessionUpdate(row, current, desired)
	if !apierrors.IsInvalid(err) {
		t.Fatalf("got %v", err)
	}
	for _, path := range []string{"spec.timeoutSeconds", "spec.llm.temperature", "spec.llm.maxTokens", "spec.parentSessionID"} {
		if !strings.Contains(err.Error(), path+": Forbidden: the upstream cannot remove this value") {
			t.Errorf("%s is not named: %v", path, err)
		}
	}
	// What never was there is not removed.
	bare := session()
	if spec, _ := update(t, bare, func(s *v1alpha1.Session) { s.Spec.LLM = &v1alpha1.LLMSettings{} }); spec != nil {
		t.Errorf("an empty llm sent %v", spec)
	}
}

func TestReadOnlyFieldsSendNothing(t *testing.T) {
	spec, status := update(t, session(), func(s *v1alpha1.Session) {
		s.Spec.CreatedBy, s.Spec.AgentID = "forged", "forged"
		s.Status.SessionID, s.Status.ProjectID = "forged", "forged"
		s.Labels["ambient.io/session-id"] = "forged"
		s.Annotations = map[string]string{"ambient.io/kubernetes": "{}", "ambient.io/project-settings": "{}"}
		s.ResourceVersion, s.UID, s.SelfLink = "7", "forged", "forged"
		s.CreationTimestamp = metav1.Now()
	})
	if spec != nil || status != nil {
		t.Errorf("sent %v and %v", spec, status)
	}
}

func TestStatusSendsOnlyWhatChanged(t *testing.T) {
	row := session(func(s *ambientv1.Session) {
		s.Phase, s.SdkSessionId, s.SdkRestartCount = proto.String("Running"), proto.String("sdk"), proto.Int32(2)
		s.StartTime, s.CompletionTime = timestamppb.New(started), timestamppb.New(completed)
		s.KubeCrUid, s.KubeNamespace = proto.String("u"), proto.String("n")
		s.ReconciledRepos = proto.String(`[{"url":"u","status":"Cloning","new":1},{"url":"v"}]`)
		s.ReconciledWorkflow = proto.String(`{"gitUrl":"g","new":1}`)
	})
	for _, test := range []struct {
		name   string
		change func(*v1alpha1.SessionStatus)
		want   *ambientv1.UpdateSessionStatusRequest
	}{
		{"phase", func(s *v1alpha1.SessionStatus) { s.Phase = v1alpha1.SessionStopped }, &ambientv1.UpdateSessionStatusRequest{Phase: proto.String("Stopped")}},
		{"phase removed", func(s *v1alpha1.SessionStatus) { s.Phase = "" }, nil},
		{"start", func(s *v1alpha1.SessionStatus) { s.StartTime = seconds(completed) }, &ambientv1.UpdateSessionStatusRequest{StartTime: timestamppb.New(completed)}},
		{"completion", func(s *v1alpha1.SessionStatus) { s.CompletionTime = seconds(created) },
			&ambientv1.UpdateSessionStatusRequest{CompletionTime: timestamppb.New(created.Truncate(1e9))}},
		{"times removed", func(s *v1alpha1.SessionStatus) { s.StartTime, s.CompletionTime = nil, nil }, nil},
		{"times emptied", func(s *v1alpha1.SessionStatus) { s.StartTime = &metav1.Time{} }, nil},
		{"sdk session", func(s *v1alpha1.SessionStatus) { s.SDKSessionID = "" }, &ambientv1.UpdateSessionStatusRequest{SdkSessionId: proto.String("")}},
		{"restarts", func(s *v1alpha1.SessionStatus) { s.SDKRestartCount = proto.Int32(3) }, &ambientv1.UpdateSessionStatusRequest{SdkRestartCount: proto.Int32(3)}},
		{"restarts removed", func(s *v1alpha1.SessionStatus) { s.SDKRestartCount = nil }, &ambientv1.UpdateSessionStatusRequest{SdkRestartCount: proto.Int32(0)}},
		{"custom resource", func(s *v1alpha1.SessionStatus) { s.AgenticSession.UID = types.UID("x") }, &ambientv1.UpdateSessionStatusRequest{KubeCrUid: proto.String("x")}},
		{"custom resource removed", func(s *v1alpha1.SessionStatus) { s.AgenticSession = nil },
			&ambientv1.UpdateSessionStatusRequest{KubeCrUid: proto.String(""), KubeNamespace: proto.String("")}},
		{"repositories", func(s *v1alpha1.SessionStatus) { s.Repositories[0].Status = "Ready" },
			&ambientv1.UpdateSessionStatusRequest{ReconciledRepos: proto.String(`[{"url":"u","status":"Ready","new":1},{"url":"v"}]`)}},
		{"repositories removed", func(s *v1alpha1.SessionStatus) { s.Repositories = nil }, &ambientv1.UpdateSessionStatusRequest{ReconciledRepos: proto.String(`[]`)}},
		{"workflow", func(s *v1alpha1.SessionStatus) { s.Workflow.Status = "Active" },
			&ambientv1.UpdateSessionStatusRequest{ReconciledWorkflow: proto.String(`{"gitUrl":"g","new":1,"status":"Active"}`)}},
		{"workflow removed", func(s *v1alpha1.SessionStatus) { s.Workflow = nil }, &ambientv1.UpdateSessionStatusRequest{ReconciledWorkflow: proto.String(`{"new":1}`)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec, status := update(t, row, func(s *v1alpha1.Session) { test.change(&s.Status) })
			if spec != nil {
				t.Errorf("a spec was sent: %v", spec)
			}
			if test.want != nil {
				test.want.Id = sessionID
			}
			if !proto.Equal(status, test.want) {
				t.Errorf("got  %v\nwant %v", status, test.want)
			}
		})
	}
}

func TestMalformedColumnsAreLeftAloneUntilTheyAreSet(t *testing.T) {
	bad := "not json"
	row := session(func(s *ambientv1.Session) {
		s.Labels, s.Annotations, s.Repos, s.EnvironmentVariables, s.ResourceOverrides = &bad, &bad, &bad, &bad, &bad
		s.Conditions, s.ReconciledRepos, s.ReconciledWorkflow = &bad, &bad, &bad
	})
	mustSpec(t, row, func(s *v1alpha1.Session) { s.Spec.Prompt = "x" }, "prompt")
	mustSpec(t, row, func(s *v1alpha1.Session) { s.Spec.Repositories = []v1alpha1.Repository{{URL: "u"}} }, "repos")
	mustSpec(t, row, func(s *v1alpha1.Session) {
		s.Spec.Prompt = "x"
		s.ManagedFields = metadata().ManagedFields
	}, "prompt")
	next := mustSpec(t, row, func(s *v1alpha1.Session) { s.Annotations = map[string]string{"a": "b"} }, "annotations")
	same(t, "annotations that were set", read(next).Annotations, map[string]string{"a": "b"})
	next = mustSpec(t, row, func(s *v1alpha1.Session) { s.Finalizers = []string{"example.com/hold"} }, "annotations")
	same(t, "finalizers that were set", read(next).Finalizers, []string{"example.com/hold"})
	next = mustSpec(t, row, func(s *v1alpha1.Session) { s.Spec.Environment = map[string]string{"A": "1"} }, "environment_variables")
	if next.GetEnvironmentVariables() != `{"A":"1"}` {
		t.Errorf("environment: %s", next.GetEnvironmentVariables())
	}
	spec, status := update(t, row, func(s *v1alpha1.Session) { s.Status.Phase = v1alpha1.SessionRunning })
	if spec != nil || strings.Join(columns(status), " ") != "phase" {
		t.Errorf("sent %v and %v", spec, status)
	}
}

func TestDecision14RefusedLabelsSurviveWrites(t *testing.T) {
	row := session(func(s *ambientv1.Session) {
		s.Labels = proto.String(`{"bad key" : "x", "n":1, "team":"a", "value":"no good!"}`)
		s.Annotations = proto.String(`{"bad key":"\u0041", "n":null, "note":"a"}`)
	})
	next := mustSpec(t, row, func(s *v1alpha1.Session) { s.Labels["team"] = "b"; s.Labels["value"] = "good" }, "labels", "annotations")
	if want := `{"bad key" : "x", "n":1, "team":"b", "value":"good"}`; next.GetLabels() != want {
		t.Errorf("labels: %s, want %s", next.GetLabels(), want)
	}
	if !strings.HasPrefix(next.GetAnnotations(), `{"bad key":"\u0041", "n":null, "note":"a", "ambient.io/kubernetes":"`) {
		t.Errorf("annotations: %s", next.GetAnnotations())
	}
}

// What is known of the lost name comes back from the AgenticSession; a name that is
// there, and annotations that cannot be read, stay.
func TestDecision13ALostNameIsGivenBack(t *testing.T) {
	for _, test := range []struct {
		name, annotations, want string
		refused                 bool
	}{
		{"lost with all annotations", "", "mine", false},
		{"lost beside others", `{"example.com/a":"b"}`, "mine", false},
		{"not lost", `{"ambient.io/kubernetes":"{\"name\":\"chosen\"}"}`, "chosen", false},
		{"malformed", `{"example.com/a":`, "", true},
	} {
		row := session(func(s *ambientv1.Session) { s.Annotations = &test.annotations })
		current := read(row)
		desired := current.DeepCopy()
		metav1.SetMetaDataAnnotation(&desired.ObjectMeta, v1alpha1.RestoreNameAnnotation, "mine")
		request, _, err := translator.SessionUpdate(row, current, desired)
		if test.refused {
			if !apierrors.IsInvalid(err) {
				t.Errorf("%s: %v, want a refusal", test.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if request != nil {
			row.Annotations = request.Annotations
		}
		if got := translator.SessionName(row); got != test.want {
			t.Errorf("%s: the session is named %q, want %q", test.name, got, test.want)
		}
		if shown := read(row).Annotations; shown[v1alpha1.RestoreNameAnnotation] != "" || test.annotations == `{"example.com/a":"b"}` && shown["example.com/a"] != "b" {
			t.Errorf("%s: annotations %v", test.name, shown)
		}
	}
}
