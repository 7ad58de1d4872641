package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

const pageSize = 500

// Upstream is the system of record, as its own users see it: by gRPC.
type Upstream struct {
	Sessions ambientv1.SessionServiceClient
	Projects ambientv1.ProjectServiceClient
	Settings ambientv1.ProjectSettingsServiceClient

	connection *grpc.ClientConn
	// control is the address of the interface that injects faults; empty for a
	// server that is not ours.
	control   string
	token     *bearer
	tokenFile string
}

// bearer sends a token, which may change, over a connection in plain text.
type bearer struct{ token atomic.Pointer[string] }

func (b *bearer) set(token string) { b.token.Store(&token) }

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b *bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + *b.token.Load()}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (*bearer) RequireTransportSecurity() bool { return false }

func newUpstream(running *stack.Stack) (*Upstream, error) {
	text, err := os.ReadFile(running.UpstreamTokenFile())
	if err != nil {
		return nil, fmt.Errorf("reading the upstream's token: %w", err)
	}
	transport := insecure.NewCredentials()
	if authority := running.UpstreamCAFile(); authority != "" {
		if transport, err = credentials.NewClientTLSFromFile(authority, ""); err != nil {
			return nil, fmt.Errorf("reading the upstream's certificate authority: %w", err)
		}
	}
	token := &bearer{}
	token.set(strings.TrimSpace(string(text)))
	connection, err := grpc.NewClient(running.UpstreamAddress(),
		grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(token),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		return nil, fmt.Errorf("connecting to the upstream: %w", err)
	}
	upstream := &Upstream{
		Sessions: ambientv1.NewSessionServiceClient(connection),
		Projects: ambientv1.NewProjectServiceClient(connection),
		Settings: ambientv1.NewProjectSettingsServiceClient(connection),

		connection: connection, token: token, tokenFile: running.UpstreamTokenFile(),
	}
	if running.Upstream != nil {
		upstream.control = "http://" + running.UpstreamControlAddress()
	}
	return upstream, nil
}

func (u *Upstream) close() error {
	if err := u.connection.Close(); err != nil {
		return fmt.Errorf("disconnecting from the upstream: %w", err)
	}
	return nil
}

type page[M any] interface{ GetItems() []M }

func listAll[M any, R page[M]](t testing.TB, list func(ctx context.Context, page int32) (R, error)) []M {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	var rows []M
	for number := int32(1); ; number++ {
		response, err := list(ctx, number)
		if err != nil {
			t.Fatalf("listing upstream: %v", err)
		}
		rows = append(rows, response.GetItems()...)
		if len(response.GetItems()) < pageSize {
			return rows
		}
	}
}

// AllSessions returns the rows of all sessions.
func (u *Upstream) AllSessions(t testing.TB) []*ambientv1.Session {
	t.Helper()
	return listAll[*ambientv1.Session](t, func(ctx context.Context, page int32) (*ambientv1.ListSessionsResponse, error) {
		return u.Sessions.ListSessions(ctx, &ambientv1.ListSessionsRequest{Page: page, Size: pageSize})
	})
}

// AllProjects returns the rows of all projects.
func (u *Upstream) AllProjects(t testing.TB) []*ambientv1.Project {
	t.Helper()
	return listAll[*ambientv1.Project](t, func(ctx context.Context, page int32) (*ambientv1.ListProjectsResponse, error) {
		return u.Projects.ListProjects(ctx, &ambientv1.ListProjectsRequest{Page: page, Size: pageSize})
	})
}

// AllSettings returns the rows of all project settings.
func (u *Upstream) AllSettings(t testing.TB) []*ambientv1.ProjectSettings {
	t.Helper()
	return listAll[*ambientv1.ProjectSettings](t, func(ctx context.Context, page int32) (*ambientv1.ListProjectSettingsResponse, error) {
		return u.Settings.ListProjectSettings(ctx, &ambientv1.ListProjectSettingsRequest{Page: page, Size: pageSize})
	})
}

// SessionsIn returns the rows of a project's sessions.
func (u *Upstream) SessionsIn(t testing.TB, project string) []*ambientv1.Session {
	t.Helper()
	var rows []*ambientv1.Session
	for _, row := range u.AllSessions(t) {
		if row.GetProjectId() == project {
			rows = append(rows, row)
		}
	}
	return rows
}

// SettingsOf returns the row of a project's settings; nil if there is none.
func (u *Upstream) SettingsOf(t testing.TB, project string) *ambientv1.ProjectSettings {
	t.Helper()
	for _, row := range u.AllSettings(t) {
		if row.GetProjectId() == project {
			return row
		}
	}
	return nil
}

// Session returns the row with the id.
func (u *Upstream) Session(t testing.TB, id string) *ambientv1.Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	row, err := u.Sessions.GetSession(ctx, &ambientv1.GetSessionRequest{Id: id})
	if err != nil {
		t.Fatalf("reading session %s upstream: %v", id, err)
	}
	return row
}

// Project returns the row with the id.
func (u *Upstream) Project(t testing.TB, id string) *ambientv1.Project {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	row, err := u.Projects.GetProject(ctx, &ambientv1.GetProjectRequest{Id: id})
	if err != nil {
		t.Fatalf("reading project %s upstream: %v", id, err)
	}
	return row
}

// Rows is the number of rows of each kind.
type Rows struct{ Sessions, Projects, Settings int }

// Rows counts the rows. Only a test that no other runs beside can compare them.
func (u *Upstream) Rows(t testing.TB) Rows {
	t.Helper()
	return Rows{Sessions: len(u.AllSessions(t)), Projects: len(u.AllProjects(t)), Settings: len(u.AllSettings(t))}
}

// Calls returns the number of calls of each method since the upstream's start,
// by the method's name. Only a test that no other runs beside can compare them.
func (u *Upstream) Calls(t testing.TB) map[string]int64 {
	t.Helper()
	u.needControl(t)
	response, err := http.Get(u.control + "/counters")
	if err != nil {
		t.Fatalf("reading the upstream's counters: %v", err)
	}
	defer response.Body.Close()
	var counters struct {
		Calls map[string]int64 `json:"calls"`
	}
	if err := json.NewDecoder(response.Body).Decode(&counters); err != nil {
		t.Fatalf("reading the upstream's counters: %v", err)
	}
	return counters.Calls
}
