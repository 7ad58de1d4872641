package backend

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/translate"
	"github.com/ambient-code/ambient-kube/apiserver/upstream"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// errCut is what comes in the place of an answer when the connection is cut.
var errCut = status.Error(codes.Unavailable, "cut")

// errNoWatch is what an upstream without a watch says.
var errNoWatch = status.Error(codes.Unimplemented, "no watch")

// fakeSessions is a service of sessions in memory, without a watch. Calls that no
// test makes are those of a nil client.
type fakeSessions struct {
	ambientv1.SessionServiceClient

	mu   sync.Mutex
	rows map[string]*ambientv1.Session
	// calls counts the writes, by the method's name.
	calls map[string]int
	// refuse makes the next writes fail.
	refuse error
	// late is how long the answers to status writes are on their way, and lost what
	// comes in their place, and in that of answers to creations.
	late time.Duration
	lost error
	// away makes listings fail.
	away error
	// deleting, if set, happens during each deletion.
	deleting func()
	// messages are those that were stored; refusePush makes the next ones fail.
	messages   []string
	refusePush error
}

// save stores another state of a row, as somebody else's write does.
func (f *fakeSessions) save(id string, change func(row *ambientv1.Session)) *ambientv1.Session {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := &ambientv1.Session{Metadata: &ambientv1.ObjectReference{Id: id, CreatedAt: timestamppb.Now()}}
	if held, found := f.rows[id]; found {
		next = proto.Clone(held).(*ambientv1.Session)
	}
	next.Metadata.UpdatedAt = timestamppb.Now()
	change(next)
	f.rows[id] = next
	return proto.Clone(next).(*ambientv1.Session)
}

// held returns the row as the upstream holds it; nil if it holds none.
func (f *fakeSessions) held(id string) *ambientv1.Session {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rows[id]
}

// count counts a call and returns how it fails.
func (f *fakeSessions) count(method string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[method]++
	return f.refuse
}

func (f *fakeSessions) written(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[method]
}

func (f *fakeSessions) GetSession(_ context.Context, in *ambientv1.GetSessionRequest, _ ...grpc.CallOption) (*ambientv1.Session, error) {
	time.Sleep(time.Millisecond)
	if row := f.held(in.GetId()); row != nil {
		return proto.Clone(row).(*ambientv1.Session), nil
	}
	return nil, status.Error(codes.NotFound, "no such session")
}

func (f *fakeSessions) CreateSession(_ context.Context, in *ambientv1.CreateSessionRequest, _ ...grpc.CallOption) (*ambientv1.Session, error) {
	time.Sleep(time.Millisecond)
	if err := f.count("CreateSession"); err != nil {
		return nil, err
	}
	return f.save("made-"+in.GetName(), func(row *ambientv1.Session) {
		row.ProjectId, row.Name, row.Annotations = in.ProjectId, in.GetName(), in.Annotations
	}), f.lost
}

func (f *fakeSessions) UpdateSession(_ context.Context, in *ambientv1.UpdateSessionRequest, _ ...grpc.CallOption) (*ambientv1.Session, error) {
	time.Sleep(time.Millisecond)
	if err := f.count("UpdateSession"); err != nil {
		return nil, err
	}
	return f.save(in.GetId(), func(row *ambientv1.Session) {
		if in.Prompt != nil {
			row.Prompt = in.Prompt
		}
		if in.Annotations != nil {
			row.Annotations = in.Annotations
		}
	}), nil
}

func (f *fakeSessions) UpdateSessionStatus(_ context.Context, in *ambientv1.UpdateSessionStatusRequest, _ ...grpc.CallOption) (*ambientv1.Session, error) {
	time.Sleep(time.Millisecond)
	if err := f.count("UpdateSessionStatus"); err != nil {
		return nil, err
	}
	row := f.save(in.GetId(), func(row *ambientv1.Session) {
		if in.Phase != nil {
			row.Phase = in.Phase
		}
		if in.CompletionTime != nil {
			row.CompletionTime = in.CompletionTime
		}
	})
	time.Sleep(f.late)
	return row, f.lost
}

func (f *fakeSessions) DeleteSession(_ context.Context, in *ambientv1.DeleteSessionRequest, _ ...grpc.CallOption) (*ambientv1.DeleteSessionResponse, error) {
	time.Sleep(time.Millisecond)
	if err := f.count("DeleteSession"); err != nil {
		return nil, err
	}
	if f.deleting != nil {
		f.deleting()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.rows, in.GetId())
	return &ambientv1.DeleteSessionResponse{}, nil
}

func (f *fakeSessions) ListSessions(context.Context, *ambientv1.ListSessionsRequest, ...grpc.CallOption) (*ambientv1.ListSessionsResponse, error) {
	time.Sleep(10 * time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away != nil {
		return nil, f.away
	}
	answer := &ambientv1.ListSessionsResponse{Metadata: &ambientv1.ListMeta{Total: int32(len(f.rows))}}
	for _, id := range slices.Sorted(maps.Keys(f.rows)) {
		answer.Items = append(answer.Items, proto.Clone(f.rows[id]).(*ambientv1.Session))
	}
	return answer, nil
}

func (f *fakeSessions) WatchSessions(context.Context, *ambientv1.WatchSessionsRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[ambientv1.SessionWatchEvent], error) {
	return nil, errNoWatch
}

// oneProject is a service with one project, which vouches for the upstream. About others
// it answers nothing.
type oneProject struct{ ambientv1.ProjectServiceClient }

func (oneProject) ListProjects(context.Context, *ambientv1.ListProjectsRequest, ...grpc.CallOption) (*ambientv1.ListProjectsResponse, error) {
	time.Sleep(10 * time.Millisecond)
	return &ambientv1.ListProjectsResponse{Metadata: &ambientv1.ListMeta{Total: 1}, Items: []*ambientv1.Project{team()}}, nil
}

func (oneProject) GetProject(_ context.Context, in *ambientv1.GetProjectRequest, _ ...grpc.CallOption) (*ambientv1.Project, error) {
	if in.GetId() != "team" {
		return nil, errCut
	}
	return team(), nil
}

func (oneProject) CreateProject(context.Context, *ambientv1.CreateProjectRequest, ...grpc.CallOption) (*ambientv1.Project, error) {
	return nil, errCut
}

func (oneProject) DeleteProject(context.Context, *ambientv1.DeleteProjectRequest, ...grpc.CallOption) (*ambientv1.DeleteProjectResponse, error) {
	return &ambientv1.DeleteProjectResponse{}, nil
}

// UpdateProject forgets at once what it answers.
func (oneProject) UpdateProject(_ context.Context, in *ambientv1.UpdateProjectRequest, _ ...grpc.CallOption) (*ambientv1.Project, error) {
	row := team()
	row.Annotations = in.Annotations
	return row, nil
}

func team() *ambientv1.Project {
	return &ambientv1.Project{Metadata: &ambientv1.ObjectReference{Id: "team", CreatedAt: timestamppb.New(time.Unix(0, 0))}, Name: "team"}
}

func (oneProject) WatchProjects(context.Context, *ambientv1.WatchProjectsRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[ambientv1.ProjectWatchEvent], error) {
	return nil, errNoWatch
}

// world is the backends of an upstream in memory, in a bubble with its own time.
type world struct {
	*Backends
	t        *testing.T
	sessions *fakeSessions
	settings *fakeSettings

	mu      sync.Mutex
	reports []string
}

// inWorld runs a test with the backends of a leader, which know the rows.
func inWorld(t *testing.T, rows map[string]func(*ambientv1.Session), test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, sessions: &fakeSessions{rows: map[string]*ambientv1.Session{}, calls: map[string]int{}}, settings: &fakeSettings{}}
		for id, change := range rows {
			w.sessions.save(id, change)
		}
		var err error
		w.Backends, err = New(Options{
			Client:       &upstream.Client{Sessions: w.sessions, Projects: oneProject{}, ProjectSettings: w.settings},
			Translator:   translate.New(translate.Options{Cluster: "cluster"}),
			MaxStaleness: 30 * time.Second,
			Repaired: func(action string, object runtime.Object, _ string) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.reports = append(w.reports, cmp.Or(action, "nothing"))
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := w.Run(ctx); err != nil {
				t.Errorf("the backends ended: %v", err)
			}
		})
		defer running.Wait()
		defer cancel()
		w.Lead(Term{Epoch: 1, Since: time.Now()})
		w.pass(5 * time.Second)
		if err := w.Sessions.Synced(); err != nil {
			t.Fatal(err)
		}
		test(w)
	})
}

// refuse makes the upstream's writes fail, or no more.
func (w *world) refuse(err error) {
	w.sessions.mu.Lock()
	defer w.sessions.mu.Unlock()
	w.sessions.refuse = err
}

// pass lets time pass.
func (w *world) pass(duration time.Duration) {
	time.Sleep(duration)
	synctest.Wait()
}

// session returns the published session with the name in project team; nil if there
// is none.
func (w *world) session(name string) *v1alpha1.Session {
	entry, found := w.SessionJournal.Get(SessionsPrefix + "/team/" + name)
	if !found {
		return nil
	}
	return entry.Value.(*v1alpha1.Session)
}

// update writes a change of a session through the backend.
func (w *world) update(name string, change func(session *v1alpha1.Session)) {
	w.t.Helper()
	current := w.session(name)
	if current == nil {
		w.t.Fatalf("there is no session %s", name)
	}
	desired := current.DeepCopy()
	change(desired)
	if err := w.Sessions.Update(w.t.Context(), SessionsPrefix+"/team/"+name, current, desired); err != nil {
		w.t.Fatal(err)
	}
}

// expectReports fails the test unless exactly these repairs were reported.
func (w *world) expectReports(want ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.reports, want) {
		w.t.Errorf("reported %q, want %q", w.reports, want)
	}
}
