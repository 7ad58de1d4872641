package client

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

var projectTable = table[*ambientv1.Project]{
	header: []string{"ID", "NAME", "STATUS", "DESCRIPTION"},
	cells: func(project *ambientv1.Project) []string {
		return []string{project.GetMetadata().GetId(), project.GetName(), orDash(project.GetStatus()), orDash(project.GetDescription())}
	},
	id: func(project *ambientv1.Project) string { return project.GetMetadata().GetId() },
}

func newProjects() *cobra.Command {
	group, shared := newGroup("projects", "Create, list and delete projects as the upstream's users do")
	group.AddCommand(newProjectsCreate(shared), newProjectsList(shared), newProjectsDelete(shared))
	return group
}

func newProjectsCreate(shared *connection) *cobra.Command {
	var description, labels, annotations string
	command := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a project; its name is its id and can never be used again after it is deleted",
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, arguments []string) error {
			return shared.run(command.Context(), func(ctx context.Context, connected grpc.ClientConnInterface) error {
				request := &ambientv1.CreateProjectRequest{Name: arguments[0]}
				for name, field := range map[string]struct {
					value *string
					into  **string
				}{
					"description": {&description, &request.Description},
					"labels":      {&labels, &request.Labels},
					"annotations": {&annotations, &request.Annotations},
				} {
					if command.Flags().Changed(name) {
						*field.into = field.value
					}
				}
				project, err := ambientv1.NewProjectServiceClient(connected).CreateProject(ctx, request)
				if err != nil {
					return err
				}
				return printObjects(command.OutOrStdout(), shared.output.String(), projectTable, project)
			})
		},
	}
	command.Flags().StringVar(&description, "description", "", "description")
	command.Flags().StringVar(&labels, "labels", "", "labels, a JSON object")
	command.Flags().StringVar(&annotations, "annotations", "", "annotations, a JSON object")
	return command
}

func newProjectsList(shared *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the projects",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return shared.run(command.Context(), func(ctx context.Context, connected grpc.ClientConnInterface) error {
				client := ambientv1.NewProjectServiceClient(connected)
				projects, err := listAll[*ambientv1.Project](func(page int32) (*ambientv1.ListProjectsResponse, error) {
					return client.ListProjects(ctx, &ambientv1.ListProjectsRequest{Page: page, Size: pageSize})
				})
				if err != nil {
					return err
				}
				return printObjects(command.OutOrStdout(), shared.output.String(), projectTable, projects...)
			})
		},
	}
}

func newProjectsDelete(shared *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "delete ID...",
		Short: "Delete projects; their sessions and settings stay",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, arguments []string) error {
			return shared.run(command.Context(), func(ctx context.Context, connected grpc.ClientConnInterface) error {
				client := ambientv1.NewProjectServiceClient(connected)
				for _, id := range arguments {
					if _, err := client.DeleteProject(ctx, &ambientv1.DeleteProjectRequest{Id: id}); err != nil {
						return fmt.Errorf("deleting project %s: %w", id, err)
					}
				}
				return nil
			})
		},
	}
}
