package conformance

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

var ksuid = regexp.MustCompile(`^[0-9A-Za-z]{27}$`)

func Test_2_1_SessionAndSettingsIDsAre27CharactersOfBase62InMixedCase(t *testing.T) {
	w := newWorld(t)
	var sessionIDs strings.Builder
	for range 5 {
		id := w.createSession().GetMetadata().GetId()
		if !ksuid.MatchString(id) {
			t.Errorf("the session id %q is no KSUID", id)
		}
		sessionIDs.WriteString(id)
	}
	all := sessionIDs.String()
	if strings.ToLower(all) == all || strings.ToUpper(all) == all {
		t.Errorf("the session ids %q have one case only", all)
	}
	if id := settingsKind.create(w); !ksuid.MatchString(id) {
		t.Errorf("the settings id %q is no KSUID", id)
	}
}

func Test_2_1_ProjectIDIsTheName(t *testing.T) {
	w := newWorld(t)
	project := w.createProject()
	if project.GetMetadata().GetId() != project.GetName() {
		t.Errorf("id = %q, name = %q", project.GetMetadata().GetId(), project.GetName())
	}
}

func Test_2_1_ProjectIDStaysTheOldNameAfterRename(t *testing.T) {
	w := newWorld(t)
	id := w.createProject().GetMetadata().GetId()
	name := freshName()
	must[*pb.Project](t)(w.projects.UpdateProject(w.ctx, &pb.UpdateProjectRequest{Id: id, Name: &name}))
	project := must[*pb.Project](t)(w.projects.GetProject(w.ctx, &pb.GetProjectRequest{Id: id}))
	if project.GetMetadata().GetId() != id || project.GetName() != name {
		t.Errorf("id = %q, name = %q, want %q and %q", project.GetMetadata().GetId(), project.GetName(), id, name)
	}
	_, err := projectKind.get(w.ctx, w, name)
	wantCode(t, err, codes.NotFound)
}

func Test_2_1_ProjectNamesAreChecked(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"", "a", "Upper", "1digit", "under_score", "hyphen-", "-hyphen", strings.Repeat("a", 64)} {
		_, err := w.projects.CreateProject(w.ctx, &pb.CreateProjectRequest{Name: name})
		wantCode(t, err, codes.InvalidArgument)
	}
}

func Test_2_2_CreateFillsInDefaultsAndLeavesThePhaseAbsent(t *testing.T) {
	w := newWorld(t)
	creator := "somebody-else"
	session := w.createSession(func(r *pb.CreateSessionRequest) { r.Name = "a"; r.CreatedByUserId = &creator })
	want := &pb.Session{
		Metadata:       session.GetMetadata(),
		Name:           "a",
		LlmModel:       proto.String("claude-sonnet-4-6"),
		LlmTemperature: proto.Float64(0.7),
		LlmMaxTokens:   proto.Int32(4000),
		KubeCrName:     proto.String(session.GetMetadata().GetId()),
	}
	// Who created it depends on the token; it is never what the request says.
	if session.GetCreatedByUserId() == creator {
		t.Error("the server believed the request's created_by_user_id")
	}
	want.CreatedByUserId = session.CreatedByUserId
	if difference := cmp.Diff(want, session, protocmp.Transform()); difference != "" {
		t.Errorf("unexpected session (-want +got):\n%s", difference)
	}
	reference := session.GetMetadata()
	if reference.GetKind() != "Session" || reference.GetHref() != "/api/ambient/v1/sessions/"+reference.GetId() {
		t.Errorf("kind = %q, href = %q", reference.GetKind(), reference.GetHref())
	}
}

func Test_2_2_ExplicitZerosAreNotReplacedByDefaults(t *testing.T) {
	w := newWorld(t)
	session := w.createSession(func(r *pb.CreateSessionRequest) { r.LlmTemperature = proto.Float64(0) })
	if got := w.getSession(session.GetMetadata().GetId()).LlmTemperature; got == nil || *got != 0 {
		t.Errorf("temperature 0 became %v", got)
	}
}

func Test_2_3_UpdateAppliesPresentFieldsOnlyAndStoresEmptyValues(t *testing.T) {
	w := newWorld(t)
	id := w.createSession(func(r *pb.CreateSessionRequest) {
		r.Prompt = proto.String("a prompt")
		r.RepoUrl = proto.String("https://example.com/a")
		r.Timeout = proto.Int32(7)
	}).GetMetadata().GetId()
	must[*pb.Session](t)(w.sessions.UpdateSession(w.ctx, &pb.UpdateSessionRequest{Id: id, Prompt: proto.String(""), Timeout: proto.Int32(0)}))
	session := w.getSession(id)
	if session.Prompt == nil || *session.Prompt != "" {
		t.Errorf("an empty prompt became %v", session.Prompt)
	}
	if session.Timeout == nil || *session.Timeout != 0 {
		t.Errorf("a timeout of zero became %v", session.Timeout)
	}
	if session.GetRepoUrl() != "https://example.com/a" {
		t.Errorf("an absent field changed to %q", session.GetRepoUrl())
	}
}

func Test_2_3_UpdateWithoutChangeBumpsUpdatedAtAndEmitsUpdated(t *testing.T) {
	w := newWorld(t)
	forEachKind(t, func(t *testing.T, kind kind) {
		events := w.watch(kind)
		id := kind.create(w)
		if got := events.next(id).kind; got != pb.EventType_EVENT_TYPE_CREATED {
			t.Errorf("the first event is %s", got)
		}
		before := must[*pb.ObjectReference](t)(kind.get(w.ctx, w, id))
		if err := kind.touch(w.ctx, w, id); err != nil {
			t.Fatal(err)
		}
		if got := events.next(id).kind; got != pb.EventType_EVENT_TYPE_UPDATED {
			t.Errorf("the second event is %s", got)
		}
		after := must[*pb.ObjectReference](t)(kind.get(w.ctx, w, id))
		if !after.GetUpdatedAt().AsTime().After(before.GetUpdatedAt().AsTime()) {
			t.Errorf("updated_at went from %s to %s", before.GetUpdatedAt().AsTime(), after.GetUpdatedAt().AsTime())
		}
		if !after.GetCreatedAt().AsTime().Equal(before.GetCreatedAt().AsTime()) {
			t.Errorf("created_at went from %s to %s", before.GetCreatedAt().AsTime(), after.GetCreatedAt().AsTime())
		}
	})
}

func Test_2_3_UpdateMovesASessionToAnyProject(t *testing.T) {
	w := newWorld(t)
	id := w.createSession(func(r *pb.CreateSessionRequest) { r.ProjectId = proto.String("from") }).GetMetadata().GetId()
	must[*pb.Session](t)(w.sessions.UpdateSession(w.ctx, &pb.UpdateSessionRequest{Id: id, ProjectId: proto.String("nobody-made-this")}))
	if got := w.getSession(id).GetProjectId(); got != "nobody-made-this" {
		t.Errorf("the project is %q", got)
	}
}

func Test_2_3_StatusUpdateSetsExactlyTheStatusFields(t *testing.T) {
	w := newWorld(t)
	before := w.createSession(func(r *pb.CreateSessionRequest) { r.Prompt = proto.String("stays") })
	id := before.GetMetadata().GetId()
	start := timestamppb.New(time.Date(2026, 3, 5, 10, 0, 0, 0, time.UTC))
	end := timestamppb.New(time.Date(2026, 3, 5, 11, 0, 0, 0, time.UTC))
	must[*pb.Session](t)(w.sessions.UpdateSessionStatus(w.ctx, &pb.UpdateSessionStatusRequest{
		Id: id, Phase: proto.String("Running"), StartTime: start, CompletionTime: end,
		SdkSessionId: proto.String("sdk"), SdkRestartCount: proto.Int32(2), Conditions: proto.String(`[{"type":"Ready"}]`),
		ReconciledRepos: proto.String("[]"), ReconciledWorkflow: proto.String("{}"),
		KubeCrUid: proto.String("uid"), KubeNamespace: proto.String("namespace"),
	}))
	after := w.getSession(id)
	want := proto.Clone(before).(*pb.Session)
	want.Metadata = after.Metadata
	want.Phase, want.StartTime, want.CompletionTime = proto.String("Running"), start, end
	want.SdkSessionId, want.SdkRestartCount = proto.String("sdk"), proto.Int32(2)
	want.Conditions, want.ReconciledRepos, want.ReconciledWorkflow = proto.String(`[{"type":"Ready"}]`), proto.String("[]"), proto.String("{}")
	want.KubeCrUid, want.KubeNamespace = proto.String("uid"), proto.String("namespace")
	if difference := cmp.Diff(want, after, protocmp.Transform()); difference != "" {
		t.Errorf("unexpected session (-want +got):\n%s", difference)
	}
}

func Test_2_3_NoPhaseTransitionIsRefused(t *testing.T) {
	w := newWorld(t)
	id := w.createSession().GetMetadata().GetId()
	phases := []string{"Pending", "Creating", "Running", "Stopping", "Stopped", "Completed", "Failed"}
	for _, from := range phases {
		for _, to := range phases {
			w.setPhase(id, from)
			if got := w.setPhase(id, to).GetPhase(); got != to {
				t.Errorf("%s -> %s gives %s", from, to, got)
			}
		}
	}
}

func Test_2_4_TextThatIsNotJSONIsStoredVerbatim(t *testing.T) {
	w := newWorld(t)
	for _, text := range []string{"not json", `{"a": 1,  "a":2}`, "", " [ ", "null", "é\u2028\t\n"} {
		session := w.createSession(func(r *pb.CreateSessionRequest) {
			r.Labels, r.Annotations, r.EnvironmentVariables, r.Repos, r.ResourceOverrides, r.WorkflowId = &text, &text, &text, &text, &text, &text
		})
		stored := w.getSession(session.GetMetadata().GetId())
		for name, got := range map[string]*string{
			"labels": stored.Labels, "annotations": stored.Annotations, "environment_variables": stored.EnvironmentVariables,
			"repos": stored.Repos, "resource_overrides": stored.ResourceOverrides, "workflow_id": stored.WorkflowId,
		} {
			if got == nil || *got != text {
				t.Errorf("%s: %q became %v", name, text, got)
			}
		}
	}
	settings := w.createSettings(w.createProject().GetMetadata().GetId())
	text := "not json"
	updated := must[*pb.ProjectSettings](t)(w.settings.UpdateProjectSettings(w.ctx,
		&pb.UpdateProjectSettingsRequest{Id: settings.GetMetadata().GetId(), GroupAccess: &text, Repositories: &text}))
	if updated.GetGroupAccess() != text || updated.GetRepositories() != text {
		t.Errorf("group_access = %q, repositories = %q", updated.GetGroupAccess(), updated.GetRepositories())
	}
}

func Test_2_5_DeletingAProjectLeavesItsSessionsAndSettingsAlive(t *testing.T) {
	w := newWorld(t)
	project := w.createProject().GetMetadata().GetId()
	session := w.createSession(func(r *pb.CreateSessionRequest) { r.ProjectId = &project }).GetMetadata().GetId()
	settings := w.createSettings(project).GetMetadata().GetId()
	if err := projectKind.delete(w.ctx, w, project); err != nil {
		t.Fatal(err)
	}
	_, err := projectKind.get(w.ctx, w, project)
	wantCode(t, err, codes.NotFound)
	if got := w.getSession(session).GetProjectId(); got != project {
		t.Errorf("the session's project is %q", got)
	}
	_, err = settingsKind.get(w.ctx, w, settings)
	wantCode(t, err, codes.OK)
}

func Test_2_5_NamesOfDeletedProjectsCannotBeTakenByARename(t *testing.T) {
	w := newWorld(t)
	deleted := w.createProject().GetName()
	if err := projectKind.delete(w.ctx, w, deleted); err != nil {
		t.Fatal(err)
	}
	id := w.createProject().GetMetadata().GetId()
	_, err := w.projects.UpdateProject(w.ctx, &pb.UpdateProjectRequest{Id: id, Name: &deleted})
	wantCode(t, err, codes.AlreadyExists)
}

func Test_2_8_WriteResponsesCarryNanosecondsAndTheDatabaseRoundsToMicroseconds(t *testing.T) {
	w := newWorld(t)
	const sessions = 60
	finer, later := 0, 0
	for range sessions {
		created := w.createSession()
		answered := created.GetMetadata().GetUpdatedAt().AsTime()
		stored := w.getSession(created.GetMetadata().GetId()).GetMetadata().GetUpdatedAt().AsTime()
		if stored.Nanosecond()%1000 != 0 {
			t.Errorf("the database stored %s, finer than a microsecond", stored)
		}
		if distance := stored.Sub(answered).Abs(); distance > 500*time.Nanosecond {
			t.Errorf("%s was stored as %s, %s away", answered, stored, distance)
		}
		if answered.Nanosecond()%1000 != 0 {
			finer++
		}
		if stored.After(answered.Truncate(time.Microsecond)) {
			later++
		}
	}
	if finer < sessions/2 {
		t.Errorf("only %d of %d write responses are finer than a microsecond", finer, sessions)
	}
	// Were the database to truncate, none would be later; were it to round up, all.
	if later == 0 || later == sessions {
		t.Errorf("%d of %d stored times are later than the truncated response", later, sessions)
	}
}
