package backend

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ambient-code/ambient-kube/apiserver/feed"
	"github.com/ambient-code/ambient-kube/apiserver/upstream"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// message is an upstream row: each carries its identity in the same reference.
type message interface {
	proto.Message
	GetMetadata() *ambientv1.ObjectReference
}

// rowFacts is what every kind of row has in common for its feed.
type rowFacts[R message] struct{}

func (rowFacts[R]) ID(row R) string { return row.GetMetadata().GetId() }

func (rowFacts[R]) UpdatedAt(row R) time.Time {
	return row.GetMetadata().GetUpdatedAt().AsTime().Round(time.Microsecond)
}

func (rowFacts[R]) NotFound(err error) bool { return status.Code(err) == codes.NotFound }

func (rowFacts[R]) TooLarge(err error) bool { return upstream.TooLarge(err) }

// Equal compares everything but the time of the last change, which the upstream
// also moves when nothing changed.
func (rowFacts[R]) Equal(a, b R) bool {
	left, right := a.GetMetadata(), b.GetMetadata()
	leftTime, rightTime := left.GetUpdatedAt(), right.GetUpdatedAt()
	if left == nil || right == nil || proto.Equal(leftTime, rightTime) {
		return proto.Equal(a, b)
	}
	copied := proto.Clone(b).(R)
	copied.GetMetadata().UpdatedAt = leftTime
	return proto.Equal(a, copied)
}

// Same compares the times of creation: another database may have a project of
// the same name.
func (rowFacts[R]) Same(a, b R) bool {
	return proto.Equal(a.GetMetadata().GetCreatedAt(), b.GetMetadata().GetCreatedAt())
}

// roundTimes brings the times of a row to the precision that the upstream's
// database keeps. Answers to writes carry nanoseconds, later reads carry
// microseconds, rounded.
func roundTimes(reference *ambientv1.ObjectReference, times ...**timestamppb.Timestamp) {
	if reference != nil {
		times = append(times, &reference.CreatedAt, &reference.UpdatedAt)
	}
	for _, t := range times {
		if *t != nil && (*t).GetNanos()%1000 != 0 {
			*t = timestamppb.New((*t).AsTime().Round(time.Microsecond))
		}
	}
}

func roundSession(row *ambientv1.Session) *ambientv1.Session {
	if row != nil {
		roundTimes(row.GetMetadata(), &row.StartTime, &row.CompletionTime)
	}
	return row
}

func roundProject(row *ambientv1.Project) *ambientv1.Project {
	if row != nil {
		roundTimes(row.GetMetadata())
	}
	return row
}

func roundSettings(row *ambientv1.ProjectSettings) *ambientv1.ProjectSettings {
	if row != nil {
		roundTimes(row.GetMetadata())
	}
	return row
}

// source adapts the calls of one service to what a feed asks for.
type source[R message] struct {
	rowFacts[R]
	list  func(ctx context.Context, page, size int32) ([]R, *ambientv1.ListMeta, error)
	get   func(ctx context.Context, id string) (R, error)
	watch func(ctx context.Context) (feed.Stream[R], error)
}

func (s source[R]) List(ctx context.Context, page, size int) ([]R, int, error) {
	rows, list, err := s.list(ctx, int32(page), int32(size))
	if err != nil {
		return nil, 0, err
	}
	return rows, int(list.GetTotal()), nil
}

func (s source[R]) Get(ctx context.Context, id string) (R, error) { return s.get(ctx, id) }

func (s source[R]) Watch(ctx context.Context) (feed.Stream[R], error) { return s.watch(ctx) }

// watchEvent is what the watch events of all kinds have in common.
type watchEvent interface {
	GetType() ambientv1.EventType
	GetResourceId() string
}

// stream adapts a watch stream of one service.
type stream[E watchEvent, R message] struct {
	receive func() (E, error)
	row     func(E) R
}

func (s stream[E, R]) Recv() (feed.Event[R], error) {
	event, err := s.receive()
	if err != nil {
		return feed.Event[R]{}, err
	}
	row := s.row(event)
	id := event.GetResourceId()
	if id == "" {
		id = row.GetMetadata().GetId()
	}
	deleted := event.GetType() == ambientv1.EventType_EVENT_TYPE_DELETED || row.GetMetadata().GetId() == ""
	return feed.Event[R]{ID: id, Row: row, Deleted: deleted}, nil
}

func sessionSource(client ambientv1.SessionServiceClient) feed.Source[*ambientv1.Session] {
	return source[*ambientv1.Session]{
		list: func(ctx context.Context, page, size int32) ([]*ambientv1.Session, *ambientv1.ListMeta, error) {
			answer, err := client.ListSessions(ctx, &ambientv1.ListSessionsRequest{Page: page, Size: size})
			for _, row := range answer.GetItems() {
				roundSession(row)
			}
			return answer.GetItems(), answer.GetMetadata(), err
		},
		get: func(ctx context.Context, id string) (*ambientv1.Session, error) {
			row, err := client.GetSession(ctx, &ambientv1.GetSessionRequest{Id: id})
			return roundSession(row), err
		},
		watch: func(ctx context.Context) (feed.Stream[*ambientv1.Session], error) {
			events, err := client.WatchSessions(ctx, &ambientv1.WatchSessionsRequest{})
			if err != nil {
				return nil, fmt.Errorf("opening the watch of sessions: %w", err)
			}
			return stream[*ambientv1.SessionWatchEvent, *ambientv1.Session]{events.Recv, func(e *ambientv1.SessionWatchEvent) *ambientv1.Session {
				return roundSession(e.GetSession())
			}}, nil
		},
	}
}

func projectSource(client ambientv1.ProjectServiceClient) feed.Source[*ambientv1.Project] {
	return source[*ambientv1.Project]{
		list: func(ctx context.Context, page, size int32) ([]*ambientv1.Project, *ambientv1.ListMeta, error) {
			answer, err := client.ListProjects(ctx, &ambientv1.ListProjectsRequest{Page: page, Size: size})
			for _, row := range answer.GetItems() {
				roundProject(row)
			}
			return answer.GetItems(), answer.GetMetadata(), err
		},
		get: func(ctx context.Context, id string) (*ambientv1.Project, error) {
			row, err := client.GetProject(ctx, &ambientv1.GetProjectRequest{Id: id})
			return roundProject(row), err
		},
		watch: func(ctx context.Context) (feed.Stream[*ambientv1.Project], error) {
			events, err := client.WatchProjects(ctx, &ambientv1.WatchProjectsRequest{})
			if err != nil {
				return nil, fmt.Errorf("opening the watch of projects: %w", err)
			}
			return stream[*ambientv1.ProjectWatchEvent, *ambientv1.Project]{events.Recv, func(e *ambientv1.ProjectWatchEvent) *ambientv1.Project {
				return roundProject(e.GetProject())
			}}, nil
		},
	}
}

func settingsSource(client ambientv1.ProjectSettingsServiceClient) feed.Source[*ambientv1.ProjectSettings] {
	return source[*ambientv1.ProjectSettings]{
		list: func(ctx context.Context, page, size int32) ([]*ambientv1.ProjectSettings, *ambientv1.ListMeta, error) {
			answer, err := client.ListProjectSettings(ctx, &ambientv1.ListProjectSettingsRequest{Page: page, Size: size})
			for _, row := range answer.GetItems() {
				roundSettings(row)
			}
			return answer.GetItems(), answer.GetMetadata(), err
		},
		get: func(ctx context.Context, id string) (*ambientv1.ProjectSettings, error) {
			row, err := client.GetProjectSettings(ctx, &ambientv1.GetProjectSettingsRequest{Id: id})
			return roundSettings(row), err
		},
		watch: func(ctx context.Context) (feed.Stream[*ambientv1.ProjectSettings], error) {
			events, err := client.WatchProjectSettings(ctx, &ambientv1.WatchProjectSettingsRequest{})
			if err != nil {
				return nil, fmt.Errorf("opening the watch of project settings: %w", err)
			}
			return stream[*ambientv1.ProjectSettingsWatchEvent, *ambientv1.ProjectSettings]{events.Recv, func(e *ambientv1.ProjectSettingsWatchEvent) *ambientv1.ProjectSettings {
				return roundSettings(e.GetProjectSettings())
			}}, nil
		},
	}
}
