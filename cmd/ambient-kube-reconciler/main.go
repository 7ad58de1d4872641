// Command ambient-kube-reconciler projects the native API of the ambient platform
// into a cluster: a namespace for each Project, an AgenticSession for each
// Session, RoleBindings for ProjectSettings.
//
// main owns options and signals; package reconciler does the work.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ambient-code/ambient-kube/cmd/internal/envflag"
	"github.com/ambient-code/ambient-kube/cmd/internal/logging"
	"github.com/ambient-code/ambient-kube/reconciler"
	"github.com/ambient-code/ambient-kube/reconciler/baseline"
	"github.com/ambient-code/ambient-kube/reconciler/project"
	"github.com/ambient-code/ambient-kube/release"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ambient-kube-reconciler:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	var (
		options    = reconciler.NewOptions()
		mode       = envflag.OneOf(string(options.Mode), string(reconciler.ModeKube), string(reconciler.ModeTest))
		starts     = envflag.OneOf(string(options.StartPolicy), string(baseline.OnCreate), string(baseline.OnRequest))
		namespaces = envflag.OneOf(string(options.NamespacePolicy), string(project.Retain), string(project.Delete))
		level      = logging.NewLevel()
	)
	command := &cobra.Command{
		Use:   "ambient-kube-reconciler",
		Short: "Project sessions, projects and their settings into a Kubernetes cluster",
		Long: `ambient-kube-reconciler makes a namespace for each Project, an AgenticSession for
each Session and RoleBindings for ProjectSettings, and carries back what the
platform's operator says of the sessions. It knows Kubernetes APIs only.`,
		Args:          cobra.NoArgs,
		Version:       release.Version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := envflag.Apply(command.Flags()); err != nil {
				return err
			}
			logger, err := logging.New(os.Stderr, level.String())
			if err != nil {
				return err
			}
			logging.Use(logger)
			options.Mode = reconciler.Mode(mode.String())
			options.StartPolicy = baseline.Policy(starts.String())
			options.NamespacePolicy = project.Policy(namespaces.String())
			return reconciler.Run(command.Context(), options)
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.Kubeconfig, "kubeconfig", options.Kubeconfig, "path of the kubeconfig file; without it, the cluster that the process runs in")
	flags.StringVar(&options.LeaseNamespace, "lease-namespace", options.LeaseNamespace, "namespace of the Lease, and of the record of what was there before the first start")
	flags.StringVar(&options.LeaseName, "lease-name", options.LeaseName, "name of the Lease")
	flags.BoolVar(&options.LeaderElect, "leader-elect", options.LeaderElect, "work only while holding the Lease")
	flags.DurationVar(&options.LeaseDuration, "lease-duration", options.LeaseDuration, "how long a Lease holds that is not renewed")
	flags.DurationVar(&options.RenewDeadline, "lease-renew-deadline", options.RenewDeadline, "how long the leader tries to renew before it gives up")
	flags.DurationVar(&options.RetryPeriod, "lease-retry-period", options.RetryPeriod, "time between two tries to take or renew the Lease")
	flags.StringVar(&options.HealthBindAddress, "health-bind-address", options.HealthBindAddress, "address of /livez, /readyz and /metrics")
	flags.StringVar(&options.WebhookBindAddress, "webhook-bind-address", options.WebhookBindAddress, "address of the admission webhooks")
	flags.StringVar(&options.WebhookCertificate.CertificateFile, "webhook-tls-cert-file", "", "serving certificate of the admission webhooks, read again when it changes; without one, and without --certificate-secret, there are no webhooks")
	flags.StringVar(&options.WebhookCertificate.KeyFile, "webhook-tls-private-key-file", "", "private key of --webhook-tls-cert-file")
	options.WebhookCertificate.AddFlags(flags)
	flags.StringSliceVar(&options.WebhookExemptUsers, "webhook-exempt-users", options.WebhookExemptUsers, "users who may change the projected fields of AgenticSessions: the reconciler's own and the operator's")
	flags.IntVar(&options.Workers, "workers", options.Workers, "how many objects of each kind are worked on at a time")
	flags.StringVar(&options.UnassignedNamespace, "unassigned-namespace", options.UnassignedNamespace, "namespace that shows sessions without a project; nothing is projected from it")
	flags.Var(mode, "mode", "kube projects into the cluster; test writes nothing and counts what it sees")
	flags.Var(starts, "start-policy", "when a session runs whose phase is empty: as soon as it is created, or when its phase is set to Pending")
	flags.Var(namespaces, "namespace-policy", "what becomes of the namespace of a deleted project; delete waits until no session is left in it")
	flags.Var(level, "log-level", "least severe messages to log")
	envflag.Bind(flags, map[string][]string{
		"kubeconfig": {"KUBECONFIG"},
		"log-level":  {"LOG_LEVEL"},
		"mode":       {"MODE"},
	})
	return command
}
