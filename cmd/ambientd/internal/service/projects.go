package service

import (
	"context"
	"regexp"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/store"
)

var projectName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,61}[a-z0-9]$`)

type projectServer struct {
	ambientv1.UnimplementedProjectServiceServer
	resource[store.Project, ambientv1.Project]
}

func newProjectServer(environment Environment) *projectServer {
	server := &projectServer{}
	server.resource = resource[store.Project, ambientv1.Project]{
		Environment: environment,
		kind:        "Project",
		href:        "projects",
		table:       environment.Database.Projects,
		metadata:    func(row *store.Project) *store.Metadata { return &row.Metadata },
		message:     server.toMessage,
	}
	return server
}

// toMessage leaves display_name out: the server has no such column any more.
func (s *projectServer) toMessage(row *store.Project) *ambientv1.Project {
	return &ambientv1.Project{
		Metadata:    s.reference(row),
		Name:        row.Name,
		Description: row.Description,
		Labels:      row.Labels,
		Annotations: row.Annotations,
		Status:      row.Status,
	}
}

func checkProjectName(name string) error {
	if !projectName.MatchString(name) {
		return status.Error(codes.InvalidArgument,
			"name must be 2 to 63 lower-case letters, digits and hyphens, begin with a letter and end with a letter or digit")
	}
	return nil
}

func (s *projectServer) GetProject(ctx context.Context, request *ambientv1.GetProjectRequest) (*ambientv1.Project, error) {
	return s.get(ctx, request.GetId())
}

func (s *projectServer) CreateProject(ctx context.Context, request *ambientv1.CreateProjectRequest) (*ambientv1.Project, error) {
	if err := checkProjectName(request.GetName()); err != nil {
		return nil, err
	}
	return s.create(ctx, &store.Project{
		Metadata:    store.Metadata{ID: request.GetName()},
		Name:        request.GetName(),
		Description: request.Description,
		Labels:      request.Labels,
		Annotations: request.Annotations,
	})
}

// UpdateProject may change the name; the id stays what it was.
func (s *projectServer) UpdateProject(ctx context.Context, request *ambientv1.UpdateProjectRequest) (*ambientv1.Project, error) {
	if request.Name != nil {
		if err := checkProjectName(request.GetName()); err != nil {
			return nil, err
		}
	}
	return s.replace(ctx, request.GetId(), func(row *store.Project) {
		if request.Name != nil {
			row.Name = request.GetName()
		}
		set(&row.Description, request.Description)
		set(&row.Labels, request.Labels)
		set(&row.Annotations, request.Annotations)
		set(&row.Status, request.Status)
	})
}

// DeleteProject leaves the project's sessions and settings alive.
func (s *projectServer) DeleteProject(ctx context.Context, request *ambientv1.DeleteProjectRequest) (*ambientv1.DeleteProjectResponse, error) {
	if err := s.remove(ctx, request.GetId()); err != nil {
		return nil, err
	}
	return &ambientv1.DeleteProjectResponse{}, nil
}

func (s *projectServer) ListProjects(ctx context.Context, request *ambientv1.ListProjectsRequest) (*ambientv1.ListProjectsResponse, error) {
	items, meta, err := s.list(ctx, request.GetPage(), request.GetSize())
	if err != nil {
		return nil, err
	}
	response := &ambientv1.ListProjectsResponse{Items: items, Metadata: meta}
	s.pad(response)
	return response, nil
}

func (s *projectServer) WatchProjects(_ *ambientv1.WatchProjectsRequest, stream grpc.ServerStreamingServer[ambientv1.ProjectWatchEvent]) error {
	return s.watch(stream.Context(), func(kind ambientv1.EventType, message *ambientv1.Project, id string) error {
		return stream.Send(&ambientv1.ProjectWatchEvent{Type: kind, Project: message, ResourceId: id})
	})
}
