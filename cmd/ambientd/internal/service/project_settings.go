package service

import (
	"context"

	"github.com/segmentio/ksuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/store"
)

type projectSettingsServer struct {
	ambientv1.UnimplementedProjectSettingsServiceServer
	resource[store.ProjectSettings, ambientv1.ProjectSettings]
}

func newProjectSettingsServer(environment Environment) *projectSettingsServer {
	server := &projectSettingsServer{}
	server.resource = resource[store.ProjectSettings, ambientv1.ProjectSettings]{
		Environment: environment,
		kind:        "ProjectSettings",
		href:        "project_settings",
		table:       environment.Database.ProjectSettings,
		metadata:    func(row *store.ProjectSettings) *store.Metadata { return &row.Metadata },
		message:     server.toMessage,
	}
	return server
}

func (s *projectSettingsServer) toMessage(row *store.ProjectSettings) *ambientv1.ProjectSettings {
	return &ambientv1.ProjectSettings{
		Metadata:     s.reference(row),
		ProjectId:    row.ProjectID,
		GroupAccess:  row.GroupAccess,
		Repositories: row.Repositories,
	}
}

func (s *projectSettingsServer) GetProjectSettings(ctx context.Context, request *ambientv1.GetProjectSettingsRequest) (*ambientv1.ProjectSettings, error) {
	return s.get(ctx, request.GetId())
}

// CreateProjectSettings leaves it to the database to refuse unknown projects.
func (s *projectSettingsServer) CreateProjectSettings(ctx context.Context, request *ambientv1.CreateProjectSettingsRequest) (*ambientv1.ProjectSettings, error) {
	if request.GetProjectId() == "" {
		return nil, status.Error(codes.InvalidArgument, "project_id is required")
	}
	return s.create(ctx, &store.ProjectSettings{
		Metadata:     store.Metadata{ID: ksuid.New().String()},
		ProjectID:    request.GetProjectId(),
		GroupAccess:  request.GroupAccess,
		Repositories: request.Repositories,
	})
}

func (s *projectSettingsServer) UpdateProjectSettings(ctx context.Context, request *ambientv1.UpdateProjectSettingsRequest) (*ambientv1.ProjectSettings, error) {
	return s.replace(ctx, request.GetId(), func(row *store.ProjectSettings) {
		if request.ProjectId != nil {
			row.ProjectID = request.GetProjectId()
		}
		set(&row.GroupAccess, request.GroupAccess)
		set(&row.Repositories, request.Repositories)
	})
}

func (s *projectSettingsServer) DeleteProjectSettings(ctx context.Context, request *ambientv1.DeleteProjectSettingsRequest) (*ambientv1.DeleteProjectSettingsResponse, error) {
	if err := s.remove(ctx, request.GetId()); err != nil {
		return nil, err
	}
	return &ambientv1.DeleteProjectSettingsResponse{}, nil
}

func (s *projectSettingsServer) ListProjectSettings(ctx context.Context, request *ambientv1.ListProjectSettingsRequest) (*ambientv1.ListProjectSettingsResponse, error) {
	items, meta, err := s.list(ctx, request.GetPage(), request.GetSize())
	if err != nil {
		return nil, err
	}
	response := &ambientv1.ListProjectSettingsResponse{Items: items, Metadata: meta}
	s.pad(response)
	return response, nil
}

func (s *projectSettingsServer) WatchProjectSettings(_ *ambientv1.WatchProjectSettingsRequest, stream grpc.ServerStreamingServer[ambientv1.ProjectSettingsWatchEvent]) error {
	return s.watch(stream.Context(), func(kind ambientv1.EventType, message *ambientv1.ProjectSettings, id string) error {
		return stream.Send(&ambientv1.ProjectSettingsWatchEvent{Type: kind, ProjectSettings: message, ResourceId: id})
	})
}
