package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// world is one caller's view of a server.
type world struct {
	t          *testing.T
	server     *server
	ctx        context.Context
	connection *grpc.ClientConn
	sessions   pb.SessionServiceClient
	projects   pb.ProjectServiceClient
	settings   pb.ProjectSettingsServiceClient
}

// newWorld connects to the target as a service caller.
func newWorld(t *testing.T, options ...grpc.DialOption) *world {
	t.Helper()
	return target.world(t, target.token, options...)
}

// ownOrShared connects to an empty server when there can be one, and to the target
// otherwise.
func ownOrShared(t *testing.T) *world {
	t.Helper()
	if ambientd == "" {
		return newWorld(t)
	}
	own := ownServer(t, "static")
	return own.world(t, own.token)
}

// world connects with a token.
func (s *server) world(t *testing.T, token string, options ...grpc.DialOption) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	t.Cleanup(cancel)
	connection := s.dial(t, token, options...)
	return &world{
		t:          t,
		server:     s,
		ctx:        ctx,
		connection: connection,
		sessions:   pb.NewSessionServiceClient(connection),
		projects:   pb.NewProjectServiceClient(connection),
		settings:   pb.NewProjectSettingsServiceClient(connection),
	}
}

// must returns a function that ends the test when a call failed.
func must[M any](t *testing.T) func(M, error) M {
	return func(answer M, err error) M {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
}

// wantCode fails the test unless the error has the code.
func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("code = %s (%v), want %s", got, err, want)
	}
}

// freshName returns a project name that was never used.
func freshName() string { return fmt.Sprintf("conformance-%016x", rand.Uint64()) }

func (w *world) createSession(change ...func(*pb.CreateSessionRequest)) *pb.Session {
	w.t.Helper()
	request := &pb.CreateSessionRequest{Name: "conformance"}
	for _, change := range change {
		change(request)
	}
	session := must[*pb.Session](w.t)(w.sessions.CreateSession(w.ctx, request))
	w.cleanUp(func(ctx context.Context) error {
		_, err := w.sessions.DeleteSession(ctx, &pb.DeleteSessionRequest{Id: session.GetMetadata().GetId()})
		return err
	})
	return session
}

func (w *world) createProject() *pb.Project {
	w.t.Helper()
	project := must[*pb.Project](w.t)(w.projects.CreateProject(w.ctx, &pb.CreateProjectRequest{Name: freshName()}))
	w.cleanUp(func(ctx context.Context) error {
		_, err := w.projects.DeleteProject(ctx, &pb.DeleteProjectRequest{Id: project.GetMetadata().GetId()})
		return err
	})
	return project
}

func (w *world) createSettings(project string) *pb.ProjectSettings {
	w.t.Helper()
	settings := must[*pb.ProjectSettings](w.t)(w.settings.CreateProjectSettings(w.ctx, &pb.CreateProjectSettingsRequest{ProjectId: project}))
	w.cleanUp(func(ctx context.Context) error {
		_, err := w.settings.DeleteProjectSettings(ctx, &pb.DeleteProjectSettingsRequest{Id: settings.GetMetadata().GetId()})
		return err
	})
	return settings
}

func (w *world) getSession(id string) *pb.Session {
	w.t.Helper()
	return must[*pb.Session](w.t)(w.sessions.GetSession(w.ctx, &pb.GetSessionRequest{Id: id}))
}

// setPhase is the status update that most tests use.
func (w *world) setPhase(id, phase string) *pb.Session {
	w.t.Helper()
	return must[*pb.Session](w.t)(w.sessions.UpdateSessionStatus(w.ctx, &pb.UpdateSessionStatusRequest{Id: id, Phase: &phase}))
}

// cleanUp removes what a test made at a foreign server, as well as it can.
func (w *world) cleanUp(remove func(context.Context) error) {
	if ambientd != "" {
		return
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := remove(ctx); err != nil {
			w.t.Logf("cleaning up: %v", err)
		}
	})
}

// event is a watch event of any kind.
type event struct {
	kind   pb.EventType
	id     string
	object proto.Message
}

func (e event) String() string { return fmt.Sprintf("%s %s", e.kind, e.id) }

// kind is what the three kinds have in common.
type kind struct {
	name   string
	create func(*world) string
	touch  func(context.Context, *world, string) error
	delete func(context.Context, *world, string) error
	get    func(context.Context, *world, string) (*pb.ObjectReference, error)
	list   func(ctx context.Context, w *world, page, size int32) ([]string, *pb.ListMeta, error)
	watch  func(context.Context, *world) (receive func() (event, error), header func() error, err error)
}

var kinds = []kind{sessionKind, projectKind, settingsKind}

// forEachKind runs a test for each kind.
func forEachKind(t *testing.T, test func(*testing.T, kind)) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) { test(t, kind) })
	}
}

// watching is an open watch stream that is read all the time.
type watching struct {
	t      *testing.T
	events chan event
	cancel context.CancelFunc

	mutex sync.Mutex
	err   error
}

// openWatch opens a watch, without knowing whether the server has subscribed yet.
func (w *world) openWatch(kind kind) *watching {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	receive, _, err := kind.watch(ctx, w)
	if err != nil {
		cancel()
		w.t.Fatal(err)
	}
	opened := &watching{t: w.t, events: make(chan event, 100_000), cancel: cancel}
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(opened.events)
		for {
			received, err := receive()
			if err != nil {
				opened.mutex.Lock()
				opened.err = err
				opened.mutex.Unlock()
				return
			}
			opened.events <- received
		}
	})
	w.t.Cleanup(func() { cancel(); reader.Wait() })
	return opened
}

// watch opens a watch and returns when events arrive on it.
func (w *world) watch(kind kind) *watching {
	w.t.Helper()
	opened := w.openWatch(kind)
	w.probe(kind, func() bool {
		select {
		case _, open := <-opened.events:
			if !open {
				w.t.Fatalf("the watch ended: %v", opened.failure())
			}
			return true
		default:
			return false
		}
	})
	return opened
}

// probe touches an object until the condition holds.
func (w *world) probe(kind kind, condition func() bool) {
	w.t.Helper()
	id := kind.create(w)
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		if err := kind.touch(w.ctx, w, id); err != nil {
			w.t.Fatal(err)
		}
		if condition() {
			tick.Stop()
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("no event of the probe %s %s arrived", kind.name, id)
		}
	}
}

// failure returns why the stream ended; io.EOF is a clean end.
func (o *watching) failure() error {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.err
}

// next returns the next event of the object.
func (o *watching) next(id string) event {
	o.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case received, open := <-o.events:
			if !open {
				o.t.Fatalf("the watch ended before an event of %s: %v", id, o.failure())
			}
			if received.id == id {
				return received
			}
		case <-timer.C:
			o.t.Fatalf("no event of %s arrived", id)
		}
	}
}

// quiet fails the test when an event of one of the objects arrives soon.
func (o *watching) quiet(ids ...string) {
	o.t.Helper()
	timer := time.NewTimer(silence)
	defer timer.Stop()
	for {
		select {
		case received, open := <-o.events:
			if !open {
				o.t.Fatalf("the watch ended: %v", o.failure())
			}
			for _, id := range ids {
				if received.id == id {
					o.t.Errorf("unexpected event %s", received)
				}
			}
		case <-timer.C:
			return
		}
	}
}

// end waits until the stream ends and returns why; nil is a clean end.
func (o *watching) end() error {
	o.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case _, open := <-o.events:
			if open {
				continue
			}
			if err := o.failure(); !errors.Is(err, io.EOF) {
				return err
			}
			return nil
		case <-timer.C:
			o.t.Fatal("the watch did not end")
		}
	}
}
