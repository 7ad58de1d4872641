package conformance

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	pb "github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

func Test_1_9_MissingIDIsInvalidArgument(t *testing.T) {
	w := newWorld(t)
	forEachKind(t, func(t *testing.T, kind kind) {
		_, err := kind.get(w.ctx, w, "")
		wantCode(t, err, codes.InvalidArgument)
		wantCode(t, kind.touch(w.ctx, w, ""), codes.InvalidArgument)
		wantCode(t, kind.delete(w.ctx, w, ""), codes.InvalidArgument)
	})
	phase := "Running"
	_, err := w.sessions.UpdateSessionStatus(w.ctx, &pb.UpdateSessionStatusRequest{Phase: &phase})
	wantCode(t, err, codes.InvalidArgument)
}

func Test_1_9_CreateWithEmptyOrOverlongNameIsInvalidArgument(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"", strings.Repeat("n", 256)} {
		_, err := w.sessions.CreateSession(w.ctx, &pb.CreateSessionRequest{Name: name})
		wantCode(t, err, codes.InvalidArgument)
	}
	longest := strings.Repeat("n", 255)
	if got := w.createSession(func(r *pb.CreateSessionRequest) { r.Name = longest }).GetName(); got != longest {
		t.Errorf("a name of 255 bytes became %q", got)
	}
}

func Test_1_9_UpdateWithEmptyOrOverlongNameIsAccepted(t *testing.T) {
	w := newWorld(t)
	id := w.createSession().GetMetadata().GetId()
	for _, name := range []string{strings.Repeat("n", 300), ""} {
		must[*pb.Session](t)(w.sessions.UpdateSession(w.ctx, &pb.UpdateSessionRequest{Id: id, Name: &name}))
		if got := w.getSession(id).GetName(); got != name {
			t.Errorf("the name is %q, want %q", got, name)
		}
	}
}

func Test_1_9_UnknownIDIsNotFound(t *testing.T) {
	w := newWorld(t)
	forEachKind(t, func(t *testing.T, kind kind) {
		_, err := kind.get(w.ctx, w, "neverexisted")
		wantCode(t, err, codes.NotFound)
		wantCode(t, kind.touch(w.ctx, w, "neverexisted"), codes.NotFound)
	})
	phase := "Running"
	_, err := w.sessions.UpdateSessionStatus(w.ctx, &pb.UpdateSessionStatusRequest{Id: "neverexisted", Phase: &phase})
	wantCode(t, err, codes.NotFound)
}

func Test_1_9_IDInWrongCaseIsNotFound(t *testing.T) {
	w := newWorld(t)
	id := w.createSession().GetMetadata().GetId()
	for _, wrong := range []string{strings.ToLower(id), strings.ToUpper(id)} {
		_, err := sessionKind.get(w.ctx, w, wrong)
		wantCode(t, err, codes.NotFound)
		wantCode(t, sessionKind.touch(w.ctx, w, wrong), codes.NotFound)
	}
}

func Test_1_9_UnknownParentSessionIsInternal(t *testing.T) {
	w := newWorld(t)
	parent := "neverexisted"
	_, err := w.sessions.CreateSession(w.ctx, &pb.CreateSessionRequest{Name: "child", ParentSessionId: &parent})
	wantCode(t, err, codes.Internal)
	id := w.createSession().GetMetadata().GetId()
	_, err = w.sessions.UpdateSession(w.ctx, &pb.UpdateSessionRequest{Id: id, ParentSessionId: &parent})
	wantCode(t, err, codes.Internal)

	child := w.createSession(func(r *pb.CreateSessionRequest) { r.ParentSessionId = &id })
	if child.GetParentSessionId() != id {
		t.Errorf("the parent is %q, want %q", child.GetParentSessionId(), id)
	}
}

func Test_1_9_SettingsOfUnknownProjectAreInternal(t *testing.T) {
	w := newWorld(t)
	_, err := w.settings.CreateProjectSettings(w.ctx, &pb.CreateProjectSettingsRequest{ProjectId: freshName()})
	wantCode(t, err, codes.Internal)
}

func Test_1_9_DuplicateProjectNameAlreadyExists(t *testing.T) {
	w := newWorld(t)
	name := w.createProject().GetName()
	_, err := w.projects.CreateProject(w.ctx, &pb.CreateProjectRequest{Name: name})
	wantCode(t, err, codes.AlreadyExists)
}

func Test_1_9_SecondSettingsOfAProjectAlreadyExist(t *testing.T) {
	w := newWorld(t)
	project := w.createProject().GetMetadata().GetId()
	w.createSettings(project)
	_, err := w.settings.CreateProjectSettings(w.ctx, &pb.CreateProjectSettingsRequest{ProjectId: project})
	wantCode(t, err, codes.AlreadyExists)
}

func Test_1_9_DeletedProjectNamesAreBurnt(t *testing.T) {
	w := newWorld(t)
	name := w.createProject().GetName()
	if err := projectKind.delete(w.ctx, w, name); err != nil {
		t.Fatal(err)
	}
	_, err := w.projects.CreateProject(w.ctx, &pb.CreateProjectRequest{Name: name})
	wantCode(t, err, codes.AlreadyExists)
	_, err = projectKind.get(w.ctx, w, name)
	wantCode(t, err, codes.NotFound)
}

func Test_1_9_DeletedSettingsOfAProjectAreBurnt(t *testing.T) {
	w := newWorld(t)
	project := w.createProject().GetMetadata().GetId()
	if err := settingsKind.delete(w.ctx, w, w.createSettings(project).GetMetadata().GetId()); err != nil {
		t.Fatal(err)
	}
	_, err := w.settings.CreateProjectSettings(w.ctx, &pb.CreateProjectSettingsRequest{ProjectId: project})
	wantCode(t, err, codes.AlreadyExists)
}

func Test_1_9_EmptyStatusPatchIsInvalidArgument(t *testing.T) {
	w := newWorld(t)
	id := w.createSession().GetMetadata().GetId()
	_, err := w.sessions.UpdateSessionStatus(w.ctx, &pb.UpdateSessionStatusRequest{Id: id})
	wantCode(t, err, codes.InvalidArgument)
}

func Test_1_9_UnknownOrEmptyPhaseIsInvalidArgument(t *testing.T) {
	w := newWorld(t)
	id := w.createSession().GetMetadata().GetId()
	for _, phase := range []string{"", "running", "Unheard"} {
		_, err := w.sessions.UpdateSessionStatus(w.ctx, &pb.UpdateSessionStatusRequest{Id: id, Phase: &phase})
		wantCode(t, err, codes.InvalidArgument)
	}
	if phase := w.getSession(id).Phase; phase != nil {
		t.Errorf("a refused phase was stored: %q", *phase)
	}
}

func Test_1_9_DeleteOfMissingIDIsOKAndEmitsDeleted(t *testing.T) {
	w := newWorld(t)
	forEachKind(t, func(t *testing.T, kind kind) {
		events := w.watch(kind)
		never := freshName()
		once := kind.create(w)
		for _, id := range []string{never, once, once} {
			if err := kind.delete(w.ctx, w, id); err != nil {
				t.Fatal(err)
			}
		}
		if got := events.next(never).kind; got != pb.EventType_EVENT_TYPE_DELETED {
			t.Errorf("the event of an id that never existed is %s", got)
		}
		for deletions := 0; deletions < 2; {
			if events.next(once).kind == pb.EventType_EVENT_TYPE_DELETED {
				deletions++
			}
		}
	})
}

func Test_1_9_ExhaustedPoolIsDeadlineExceededAtTheCallersDeadline(t *testing.T) {
	server := ownServer(t, "static", "--database-pool-size=3")
	exhaustPool(t, server.world(t, server.token), 3, 4)
}

func Test_1_9_BrokerClosedWhileStreamingIsACleanEnd(t *testing.T) {
	w := newWorld(t)
	forEachKind(t, func(t *testing.T, kind kind) {
		events := w.watch(kind)
		act(t, target, "eof")
		if err := events.end(); err != nil {
			t.Errorf("the stream ended with %v, want EOF and status OK", err)
		}
	})
}

func Test_2_10_EmptyParentSessionIsInternal(t *testing.T) {
	w := newWorld(t)
	_, err := w.sessions.CreateSession(w.ctx, &pb.CreateSessionRequest{Name: "child", ParentSessionId: proto.String("")})
	wantCode(t, err, codes.Internal)
}

func Test_2_10_NULInANameIsInternal(t *testing.T) {
	w := newWorld(t)
	_, err := w.sessions.CreateSession(w.ctx, &pb.CreateSessionRequest{Name: "a\x00b"})
	wantCode(t, err, codes.Internal)
	id := w.createSession().GetMetadata().GetId()
	_, err = w.sessions.UpdateSession(w.ctx, &pb.UpdateSessionRequest{Id: id, Prompt: proto.String("a\x00b")})
	wantCode(t, err, codes.Internal)
}

func Test_2_10_NameLimitIs255BytesAtCreateOnly(t *testing.T) {
	w := newWorld(t)
	_, err := w.sessions.CreateSession(w.ctx, &pb.CreateSessionRequest{Name: strings.Repeat("é", 128)})
	wantCode(t, err, codes.InvalidArgument)
	id := w.createSession().GetMetadata().GetId()
	long := strings.Repeat("n", 5000)
	must[*pb.Session](t)(w.sessions.UpdateSession(w.ctx, &pb.UpdateSessionRequest{Id: id, Name: &long}))
	if got := w.getSession(id).GetName(); got != long {
		t.Errorf("a name of 5,000 bytes has %d bytes after an update", len(got))
	}
}
