package service

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/segmentio/ksuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/identity"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/store"
)

// Defaults that the server fills in when a session is created without them.
const (
	defaultModel       = "claude-sonnet-4-6"
	defaultTemperature = 0.7
	defaultMaxTokens   = 4000
)

// maximumName is the longest name of a session at its creation, in bytes. Updates
// are not checked.
const maximumName = 255

// Phases are the phases that a status update may set, in any order.
var Phases = []string{"Pending", "Creating", "Running", "Stopping", "Stopped", "Completed", "Failed"}

type sessionServer struct {
	ambientv1.UnimplementedSessionServiceServer
	resource[store.Session, ambientv1.Session]
}

func newSessionServer(environment Environment) *sessionServer {
	server := &sessionServer{}
	server.resource = resource[store.Session, ambientv1.Session]{
		Environment: environment,
		kind:        "Session",
		href:        "sessions",
		table:       environment.Database.Sessions,
		metadata:    func(row *store.Session) *store.Metadata { return &row.Metadata },
		message:     server.toMessage,
	}
	return server
}

func (s *sessionServer) toMessage(row *store.Session) *ambientv1.Session {
	return &ambientv1.Session{
		Metadata:             s.reference(row),
		Name:                 row.Name,
		RepoUrl:              row.RepoURL,
		Prompt:               row.Prompt,
		CreatedByUserId:      row.CreatedByUserID,
		AssignedUserId:       row.AssignedUserID,
		WorkflowId:           row.WorkflowID,
		Repos:                row.Repos,
		Timeout:              row.Timeout,
		LlmModel:             row.LLMModel,
		LlmTemperature:       row.LLMTemperature,
		LlmMaxTokens:         row.LLMMaxTokens,
		ParentSessionId:      row.ParentSessionID,
		BotAccountName:       row.BotAccountName,
		ResourceOverrides:    row.ResourceOverrides,
		EnvironmentVariables: row.EnvironmentVariables,
		Labels:               row.Labels,
		Annotations:          row.Annotations,
		ProjectId:            row.ProjectID,
		Phase:                row.Phase,
		StartTime:            toTimestamp(row.StartTime),
		CompletionTime:       toTimestamp(row.CompletionTime),
		SdkSessionId:         row.SDKSessionID,
		SdkRestartCount:      row.SDKRestartCount,
		Conditions:           row.Conditions,
		ReconciledRepos:      row.ReconciledRepos,
		ReconciledWorkflow:   row.ReconciledWorkflow,
		KubeCrName:           row.KubeCRName,
		KubeCrUid:            row.KubeCRUID,
		KubeNamespace:        row.KubeNamespace,
		AgentId:              row.AgentID,
	}
}

func (s *sessionServer) GetSession(ctx context.Context, request *ambientv1.GetSessionRequest) (*ambientv1.Session, error) {
	return s.get(ctx, request.GetId())
}

func (s *sessionServer) CreateSession(ctx context.Context, request *ambientv1.CreateSessionRequest) (*ambientv1.Session, error) {
	if request.GetName() == "" {
		return nil, status.Error(codes.InvalidArgument, "name is required")
	}
	if len(request.GetName()) > maximumName {
		return nil, status.Errorf(codes.InvalidArgument, "name is longer than %d bytes", maximumName)
	}
	id := ksuid.New().String()
	row := &store.Session{
		Metadata:             store.Metadata{ID: id},
		Name:                 request.GetName(),
		RepoURL:              request.RepoUrl,
		Prompt:               request.Prompt,
		AssignedUserID:       request.AssignedUserId,
		WorkflowID:           request.WorkflowId,
		Repos:                request.Repos,
		Timeout:              request.Timeout,
		LLMModel:             orDefault(request.LlmModel, defaultModel),
		LLMTemperature:       orDefault(request.LlmTemperature, defaultTemperature),
		LLMMaxTokens:         orDefault(request.LlmMaxTokens, defaultMaxTokens),
		ParentSessionID:      request.ParentSessionId,
		BotAccountName:       request.BotAccountName,
		ResourceOverrides:    request.ResourceOverrides,
		EnvironmentVariables: request.EnvironmentVariables,
		Labels:               request.Labels,
		Annotations:          request.Annotations,
		ProjectID:            request.ProjectId,
		KubeCRName:           &id,
	}
	// The request's created_by_user_id is ignored: only the caller's token counts.
	if username := identity.FromContext(ctx).Username; username != "" {
		row.CreatedByUserID = &username
	}
	return s.create(ctx, row)
}

func (s *sessionServer) UpdateSession(ctx context.Context, request *ambientv1.UpdateSessionRequest) (*ambientv1.Session, error) {
	return s.replace(ctx, request.GetId(), func(row *store.Session) {
		if request.Name != nil {
			row.Name = request.GetName()
		}
		set(&row.RepoURL, request.RepoUrl)
		set(&row.Prompt, request.Prompt)
		set(&row.AssignedUserID, request.AssignedUserId)
		set(&row.WorkflowID, request.WorkflowId)
		set(&row.Repos, request.Repos)
		set(&row.Timeout, request.Timeout)
		set(&row.LLMModel, request.LlmModel)
		set(&row.LLMTemperature, request.LlmTemperature)
		set(&row.LLMMaxTokens, request.LlmMaxTokens)
		set(&row.ParentSessionID, request.ParentSessionId)
		set(&row.BotAccountName, request.BotAccountName)
		set(&row.ResourceOverrides, request.ResourceOverrides)
		set(&row.EnvironmentVariables, request.EnvironmentVariables)
		set(&row.Labels, request.Labels)
		set(&row.Annotations, request.Annotations)
		set(&row.ProjectID, request.ProjectId)
	})
}

// UpdateSessionStatus takes no lock, unlike UpdateSession.
func (s *sessionServer) UpdateSessionStatus(ctx context.Context, request *ambientv1.UpdateSessionStatusRequest) (*ambientv1.Session, error) {
	if err := requireID(request.GetId()); err != nil {
		return nil, err
	}
	if emptyPatch(request) {
		return nil, status.Error(codes.InvalidArgument, "the status patch is empty")
	}
	if request.Phase != nil && !slices.Contains(Phases, request.GetPhase()) {
		return nil, status.Error(codes.InvalidArgument,
			fmt.Sprintf("invalid phase %q: must be one of %s", request.GetPhase(), strings.Join(Phases, ", ")))
	}
	row, err := s.read(ctx, request.GetId())
	if err != nil {
		return nil, err
	}
	set(&row.Phase, request.Phase)
	set(&row.StartTime, fromTimestamp(request.StartTime))
	set(&row.CompletionTime, fromTimestamp(request.CompletionTime))
	set(&row.SDKSessionID, request.SdkSessionId)
	set(&row.SDKRestartCount, request.SdkRestartCount)
	set(&row.Conditions, request.Conditions)
	set(&row.ReconciledRepos, request.ReconciledRepos)
	set(&row.ReconciledWorkflow, request.ReconciledWorkflow)
	set(&row.KubeCRUID, request.KubeCrUid)
	set(&row.KubeNamespace, request.KubeNamespace)
	s.Faults.BeforeStatusUpdate(ctx)
	return s.save(ctx, row)
}

func emptyPatch(request *ambientv1.UpdateSessionStatusRequest) bool {
	return request.Phase == nil && request.StartTime == nil && request.CompletionTime == nil &&
		request.SdkSessionId == nil && request.SdkRestartCount == nil && request.Conditions == nil &&
		request.ReconciledRepos == nil && request.ReconciledWorkflow == nil &&
		request.KubeCrUid == nil && request.KubeNamespace == nil
}

func (s *sessionServer) DeleteSession(ctx context.Context, request *ambientv1.DeleteSessionRequest) (*ambientv1.DeleteSessionResponse, error) {
	if err := s.remove(ctx, request.GetId()); err != nil {
		return nil, err
	}
	return &ambientv1.DeleteSessionResponse{}, nil
}

func (s *sessionServer) ListSessions(ctx context.Context, request *ambientv1.ListSessionsRequest) (*ambientv1.ListSessionsResponse, error) {
	items, meta, err := s.list(ctx, request.GetPage(), request.GetSize())
	if err != nil {
		return nil, err
	}
	response := &ambientv1.ListSessionsResponse{Items: items, Metadata: meta}
	s.pad(response)
	return response, nil
}

func (s *sessionServer) WatchSessions(_ *ambientv1.WatchSessionsRequest, stream grpc.ServerStreamingServer[ambientv1.SessionWatchEvent]) error {
	return s.watch(stream.Context(), func(kind ambientv1.EventType, message *ambientv1.Session, id string) error {
		return stream.Send(&ambientv1.SessionWatchEvent{Type: kind, Session: message, ResourceId: id})
	})
}

func orDefault[T any](value *T, fallback T) *T {
	if value == nil {
		return &fallback
	}
	return value
}

func toTimestamp(moment *store.Time) *timestamppb.Timestamp {
	if moment == nil {
		return nil
	}
	return timestamppb.New(moment.Time)
}

func fromTimestamp(timestamp *timestamppb.Timestamp) *store.Time {
	if timestamp == nil {
		return nil
	}
	return &store.Time{Time: timestamp.AsTime()}
}
