package client

import (
	"context"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

var settingsTable = table[*ambientv1.ProjectSettings]{
	header: []string{"ID", "PROJECT", "GROUP ACCESS", "REPOSITORIES"},
	cells: func(settings *ambientv1.ProjectSettings) []string {
		return []string{settings.GetMetadata().GetId(), settings.GetProjectId(), orDash(settings.GetGroupAccess()), orDash(settings.GetRepositories())}
	},
	id: func(settings *ambientv1.ProjectSettings) string { return settings.GetMetadata().GetId() },
}

func newSettings() *cobra.Command {
	group, shared := newGroup("settings", "Create and list project settings as the upstream's users do")
	group.AddCommand(newSettingsCreate(shared), newSettingsList(shared))
	return group
}

func newSettingsCreate(shared *connection) *cobra.Command {
	var groupAccess, repositories string
	command := &cobra.Command{
		Use:   "create PROJECT",
		Short: "Create the settings of a project",
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, arguments []string) error {
			return shared.run(command.Context(), func(ctx context.Context, connected grpc.ClientConnInterface) error {
				request := &ambientv1.CreateProjectSettingsRequest{ProjectId: arguments[0]}
				if command.Flags().Changed("group-access") {
					request.GroupAccess = &groupAccess
				}
				if command.Flags().Changed("repositories") {
					request.Repositories = &repositories
				}
				settings, err := ambientv1.NewProjectSettingsServiceClient(connected).CreateProjectSettings(ctx, request)
				if err != nil {
					return err
				}
				return printObjects(command.OutOrStdout(), shared.output.String(), settingsTable, settings)
			})
		},
	}
	command.Flags().StringVar(&groupAccess, "group-access", "", "groups and roles, a JSON array of {group, role}")
	command.Flags().StringVar(&repositories, "repositories", "", "repositories, a JSON array of {url, branch, provider}")
	return command
}

func newSettingsList(shared *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the settings of all projects",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return shared.run(command.Context(), func(ctx context.Context, connected grpc.ClientConnInterface) error {
				client := ambientv1.NewProjectSettingsServiceClient(connected)
				settings, err := listAll[*ambientv1.ProjectSettings](func(page int32) (*ambientv1.ListProjectSettingsResponse, error) {
					return client.ListProjectSettings(ctx, &ambientv1.ListProjectSettingsRequest{Page: page, Size: pageSize})
				})
				if err != nil {
					return err
				}
				return printObjects(command.OutOrStdout(), shared.output.String(), settingsTable, settings...)
			})
		},
	}
}
