package client

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/grpc"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

var sessionTable = table[*ambientv1.Session]{
	header: []string{"ID", "NAME", "PHASE", "MODEL", "PROJECT"},
	cells: func(session *ambientv1.Session) []string {
		return []string{session.GetMetadata().GetId(), session.GetName(), orDash(session.GetPhase()),
			orDash(session.GetLlmModel()), orDash(session.GetProjectId())}
	},
	id: func(session *ambientv1.Session) string { return session.GetMetadata().GetId() },
}

func newSessions() *cobra.Command {
	group, shared := newGroup("sessions", "Create, list and change sessions as the upstream's users do")
	group.AddCommand(newSessionsCreate(shared), newSessionsGet(shared), newSessionsList(shared),
		newSessionsPhase(shared), newSessionsUpdate(shared), newSessionsDelete(shared))
	return group
}

// sessionFields are the options for the fields of a session.
type sessionFields struct {
	flags *pflag.FlagSet

	project, prompt, repoURL, repos, model, workflow, parent string
	labels, annotations, environment, resources, botAccount  string
	temperature                                              float64
	timeout, maxTokens                                       int32
}

func (f *sessionFields) register(flags *pflag.FlagSet) {
	f.flags = flags
	flags.StringVar(&f.project, "project", "", "project id")
	flags.StringVar(&f.prompt, "prompt", "", "first prompt")
	flags.StringVar(&f.repoURL, "repo-url", "", "repository")
	flags.StringVar(&f.repos, "repos", "", "repositories, a JSON array of {url, branch}")
	flags.StringVar(&f.model, "model", "", "model")
	flags.StringVar(&f.workflow, "workflow", "", "workflow id, or JSON {git_url, branch, path}")
	flags.StringVar(&f.parent, "parent", "", "id of the session to continue")
	flags.StringVar(&f.labels, "labels", "", "labels, a JSON object")
	flags.StringVar(&f.annotations, "annotations", "", "annotations, a JSON object")
	flags.StringVar(&f.environment, "environment", "", "environment variables, a JSON object")
	flags.StringVar(&f.resources, "resources", "", "resource overrides, a JSON object")
	flags.StringVar(&f.botAccount, "bot-account", "", "bot account name")
	flags.Float64Var(&f.temperature, "temperature", 0, "temperature of the model")
	flags.Int32Var(&f.maxTokens, "max-tokens", 0, "most tokens of an answer")
	flags.Int32Var(&f.timeout, "session-timeout", 0, "timeout of the session in seconds")
}

// given returns the value of an option that was set, and nil for any other.
func given[T any](f *sessionFields, name string, value *T) *T {
	if !f.flags.Changed(name) {
		return nil
	}
	return value
}

func newSessionsCreate(shared *connection) *cobra.Command {
	fields := &sessionFields{}
	command := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a session",
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, arguments []string) error {
			return callForSession(command, shared, func(ctx context.Context, sessions ambientv1.SessionServiceClient) (*ambientv1.Session, error) {
				return sessions.CreateSession(ctx, &ambientv1.CreateSessionRequest{
					Name:                 arguments[0],
					ProjectId:            given(fields, "project", &fields.project),
					Prompt:               given(fields, "prompt", &fields.prompt),
					RepoUrl:              given(fields, "repo-url", &fields.repoURL),
					Repos:                given(fields, "repos", &fields.repos),
					LlmModel:             given(fields, "model", &fields.model),
					LlmTemperature:       given(fields, "temperature", &fields.temperature),
					LlmMaxTokens:         given(fields, "max-tokens", &fields.maxTokens),
					WorkflowId:           given(fields, "workflow", &fields.workflow),
					ParentSessionId:      given(fields, "parent", &fields.parent),
					Labels:               given(fields, "labels", &fields.labels),
					Annotations:          given(fields, "annotations", &fields.annotations),
					EnvironmentVariables: given(fields, "environment", &fields.environment),
					ResourceOverrides:    given(fields, "resources", &fields.resources),
					BotAccountName:       given(fields, "bot-account", &fields.botAccount),
					Timeout:              given(fields, "session-timeout", &fields.timeout),
				})
			})
		},
	}
	fields.register(command.Flags())
	return command
}

func newSessionsUpdate(shared *connection) *cobra.Command {
	fields := &sessionFields{}
	var name string
	command := &cobra.Command{
		Use:   "update ID",
		Short: "Change the fields that are given",
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, arguments []string) error {
			return callForSession(command, shared, func(ctx context.Context, sessions ambientv1.SessionServiceClient) (*ambientv1.Session, error) {
				return sessions.UpdateSession(ctx, &ambientv1.UpdateSessionRequest{
					Id:                   arguments[0],
					Name:                 given(fields, "name", &name),
					ProjectId:            given(fields, "project", &fields.project),
					Prompt:               given(fields, "prompt", &fields.prompt),
					RepoUrl:              given(fields, "repo-url", &fields.repoURL),
					Repos:                given(fields, "repos", &fields.repos),
					LlmModel:             given(fields, "model", &fields.model),
					LlmTemperature:       given(fields, "temperature", &fields.temperature),
					LlmMaxTokens:         given(fields, "max-tokens", &fields.maxTokens),
					WorkflowId:           given(fields, "workflow", &fields.workflow),
					ParentSessionId:      given(fields, "parent", &fields.parent),
					Labels:               given(fields, "labels", &fields.labels),
					Annotations:          given(fields, "annotations", &fields.annotations),
					EnvironmentVariables: given(fields, "environment", &fields.environment),
					ResourceOverrides:    given(fields, "resources", &fields.resources),
					BotAccountName:       given(fields, "bot-account", &fields.botAccount),
					Timeout:              given(fields, "session-timeout", &fields.timeout),
				})
			})
		},
	}
	command.Flags().StringVar(&name, "name", "", "name")
	fields.register(command.Flags())
	return command
}

func newSessionsGet(shared *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "get ID",
		Short: "Show a session",
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, arguments []string) error {
			return callForSession(command, shared, func(ctx context.Context, sessions ambientv1.SessionServiceClient) (*ambientv1.Session, error) {
				return sessions.GetSession(ctx, &ambientv1.GetSessionRequest{Id: arguments[0]})
			})
		},
	}
}

func newSessionsPhase(shared *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "phase ID PHASE",
		Short: "Set the phase of a session by a status update",
		Args:  cobra.ExactArgs(2),
		RunE: func(command *cobra.Command, arguments []string) error {
			return callForSession(command, shared, func(ctx context.Context, sessions ambientv1.SessionServiceClient) (*ambientv1.Session, error) {
				return sessions.UpdateSessionStatus(ctx, &ambientv1.UpdateSessionStatusRequest{Id: arguments[0], Phase: &arguments[1]})
			})
		},
	}
}

func newSessionsList(shared *connection) *cobra.Command {
	var project string
	command := &cobra.Command{
		Use:   "list",
		Short: "List the sessions",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return shared.run(command.Context(), func(ctx context.Context, connected grpc.ClientConnInterface) error {
				client := ambientv1.NewSessionServiceClient(connected)
				all, err := listAll[*ambientv1.Session](func(page int32) (*ambientv1.ListSessionsResponse, error) {
					return client.ListSessions(ctx, &ambientv1.ListSessionsRequest{Page: page, Size: pageSize})
				})
				if err != nil {
					return err
				}
				var sessions []*ambientv1.Session
				for _, session := range all {
					if project == "" || session.GetProjectId() == project {
						sessions = append(sessions, session)
					}
				}
				return printObjects(command.OutOrStdout(), shared.output.String(), sessionTable, sessions...)
			})
		},
	}
	command.Flags().StringVar(&project, "project", "", "show the sessions of this project only")
	return command
}

func newSessionsDelete(shared *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "delete ID...",
		Short: "Delete sessions",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, arguments []string) error {
			return shared.run(command.Context(), func(ctx context.Context, connected grpc.ClientConnInterface) error {
				client := ambientv1.NewSessionServiceClient(connected)
				for _, id := range arguments {
					if _, err := client.DeleteSession(ctx, &ambientv1.DeleteSessionRequest{Id: id}); err != nil {
						return fmt.Errorf("deleting session %s: %w", id, err)
					}
				}
				return nil
			})
		},
	}
}

func callForSession(command *cobra.Command, shared *connection, call func(context.Context, ambientv1.SessionServiceClient) (*ambientv1.Session, error)) error {
	return shared.run(command.Context(), func(ctx context.Context, connected grpc.ClientConnInterface) error {
		session, err := call(ctx, ambientv1.NewSessionServiceClient(connected))
		if err != nil {
			return err
		}
		return printObjects(command.OutOrStdout(), shared.output.String(), sessionTable, session)
	})
}
