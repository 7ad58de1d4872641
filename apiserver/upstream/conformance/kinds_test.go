package conformance

import (
	"context"

	"google.golang.org/protobuf/proto"

	pb "github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// identified is what the messages of all kinds have in common.
type identified interface {
	proto.Message
	GetMetadata() *pb.ObjectReference
}

func ids[M identified](items []M) []string {
	var found []string
	for _, item := range items {
		found = append(found, item.GetMetadata().GetId())
	}
	return found
}

// received turns one received message into an event.
func received[M interface {
	GetType() pb.EventType
	GetResourceId() string
}, O identified](object func(M) O) func(M, error) (event, error) {
	return func(message M, err error) (event, error) {
		if err != nil {
			return event{}, err
		}
		result := event{kind: message.GetType(), id: message.GetResourceId()}
		if carried := object(message); carried.ProtoReflect().IsValid() {
			result.object = carried
		}
		return result, nil
	}
}

var sessionKind = kind{
	name:   "Session",
	create: func(w *world) string { return w.createSession().GetMetadata().GetId() },
	touch: func(ctx context.Context, w *world, id string) error {
		_, err := w.sessions.UpdateSession(ctx, &pb.UpdateSessionRequest{Id: id})
		return err
	},
	delete: func(ctx context.Context, w *world, id string) error {
		_, err := w.sessions.DeleteSession(ctx, &pb.DeleteSessionRequest{Id: id})
		return err
	},
	get: func(ctx context.Context, w *world, id string) (*pb.ObjectReference, error) {
		session, err := w.sessions.GetSession(ctx, &pb.GetSessionRequest{Id: id})
		return session.GetMetadata(), err
	},
	list: func(ctx context.Context, w *world, page, size int32) ([]string, *pb.ListMeta, error) {
		response, err := w.sessions.ListSessions(ctx, &pb.ListSessionsRequest{Page: page, Size: size})
		return ids(response.GetItems()), response.GetMetadata(), err
	},
	watch: func(ctx context.Context, w *world) (func() (event, error), func() error, error) {
		stream, err := w.sessions.WatchSessions(ctx, &pb.WatchSessionsRequest{})
		if err != nil {
			return nil, nil, err
		}
		convert := received((*pb.SessionWatchEvent).GetSession)
		return func() (event, error) { return convert(stream.Recv()) },
			func() error { _, err := stream.Header(); return err }, nil
	},
}

var projectKind = kind{
	name:   "Project",
	create: func(w *world) string { return w.createProject().GetMetadata().GetId() },
	touch: func(ctx context.Context, w *world, id string) error {
		_, err := w.projects.UpdateProject(ctx, &pb.UpdateProjectRequest{Id: id})
		return err
	},
	delete: func(ctx context.Context, w *world, id string) error {
		_, err := w.projects.DeleteProject(ctx, &pb.DeleteProjectRequest{Id: id})
		return err
	},
	get: func(ctx context.Context, w *world, id string) (*pb.ObjectReference, error) {
		project, err := w.projects.GetProject(ctx, &pb.GetProjectRequest{Id: id})
		return project.GetMetadata(), err
	},
	list: func(ctx context.Context, w *world, page, size int32) ([]string, *pb.ListMeta, error) {
		response, err := w.projects.ListProjects(ctx, &pb.ListProjectsRequest{Page: page, Size: size})
		return ids(response.GetItems()), response.GetMetadata(), err
	},
	watch: func(ctx context.Context, w *world) (func() (event, error), func() error, error) {
		stream, err := w.projects.WatchProjects(ctx, &pb.WatchProjectsRequest{})
		if err != nil {
			return nil, nil, err
		}
		convert := received((*pb.ProjectWatchEvent).GetProject)
		return func() (event, error) { return convert(stream.Recv()) },
			func() error { _, err := stream.Header(); return err }, nil
	},
}

var settingsKind = kind{
	name: "ProjectSettings",
	create: func(w *world) string {
		return w.createSettings(w.createProject().GetMetadata().GetId()).GetMetadata().GetId()
	},
	touch: func(ctx context.Context, w *world, id string) error {
		_, err := w.settings.UpdateProjectSettings(ctx, &pb.UpdateProjectSettingsRequest{Id: id})
		return err
	},
	delete: func(ctx context.Context, w *world, id string) error {
		_, err := w.settings.DeleteProjectSettings(ctx, &pb.DeleteProjectSettingsRequest{Id: id})
		return err
	},
	get: func(ctx context.Context, w *world, id string) (*pb.ObjectReference, error) {
		settings, err := w.settings.GetProjectSettings(ctx, &pb.GetProjectSettingsRequest{Id: id})
		return settings.GetMetadata(), err
	},
	list: func(ctx context.Context, w *world, page, size int32) ([]string, *pb.ListMeta, error) {
		response, err := w.settings.ListProjectSettings(ctx, &pb.ListProjectSettingsRequest{Page: page, Size: size})
		return ids(response.GetItems()), response.GetMetadata(), err
	},
	watch: func(ctx context.Context, w *world) (func() (event, error), func() error, error) {
		stream, err := w.settings.WatchProjectSettings(ctx, &pb.WatchProjectSettingsRequest{})
		if err != nil {
			return nil, nil, err
		}
		convert := received((*pb.ProjectSettingsWatchEvent).GetProjectSettings)
		return func() (event, error) { return convert(stream.Recv()) },
			func() error { _, err := stream.Header(); return err }, nil
	},
}
