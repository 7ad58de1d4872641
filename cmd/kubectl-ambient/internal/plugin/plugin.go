// Package plugin is kubectl ambient: it starts and stops Sessions, and tells how
// they are doing.
//
// It owns commands, their output and what waiting means. It speaks to
// kube-apiserver by the generated client alone, and must not know upstream or
// reconciler: whatever it does, other clients of our API can do as well.
package plugin

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/ambient-code/ambient-kube/cmd/internal/envflag"
	"github.com/ambient-code/ambient-kube/release"
)

// New returns the command with its subcommands.
func New() *cobra.Command {
	shared := &connection{}
	root := &cobra.Command{
		Use:   "kubectl-ambient",
		Short: "Start, stop and look at sessions of the ambient platform",
		Long: `Start, stop and look at Sessions (sessions.ambient.io).

A start or a stop is a request: it sets the session's phase to Pending or
Stopping, and the platform's operator acts on it. With --wait, the command ends
when it has.`,
		Example: `  # Stop a session and say why
  kubectl ambient stop flaky-test -n payments --reason "wrong branch"

  # Start it again, and wait until it runs
  kubectl ambient start flaky-test -n payments --wait

  # How is it doing?
  kubectl ambient status flaky-test -n payments`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl ambient"},
		Version:       release.Version(),
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(command *cobra.Command, _ []string) error {
			return envflag.Apply(command.Flags())
		},
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	shared.bind(root)
	root.AddCommand(newRequest(start, shared), newRequest(stop, shared), newStatus(shared))
	envflag.Bind(root.PersistentFlags(), nil)
	for _, command := range root.Commands() {
		envflag.Bind(command.Flags(), nil)
	}
	return root
}

// Explain returns what to tell a person of an error, as kubectl tells it: of a
// refusal the reason and the message, and nothing of ours around it.
func Explain(err error) string {
	var refusal apierrors.APIStatus
	if !errors.As(err, &refusal) {
		return fmt.Sprintf("error: %v", err)
	}
	status := refusal.Status()
	if status.Reason == "" {
		return "Error from server: " + status.Message
	}
	return fmt.Sprintf("Error from server (%s): %s", status.Reason, status.Message)
}
