// Command operator runs the stand-in for the platform's operator against the
// cluster of a kubeconfig, until it gets SIGINT or SIGTERM. It must not know
// what the stand-in does: see package standin.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/hack/operator/standin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer klog.Flush()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		klog.Flush()
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	options := standin.DefaultOptions()
	kubeconfig, verbosity := "", "1"
	command := &cobra.Command{
		Use:   "operator",
		Short: "Play the platform's operator on AgenticSessions, without making pods",
		Args:  cobra.NoArgs,
		// Errors are printed once, by main, and say what to do by themselves.
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := standin.ReadEnvironment(command.Flags()); err != nil {
				return err
			}
			var level klog.Level
			if err := level.Set(verbosity); err != nil {
				return fmt.Errorf("--verbosity: want a number: %w", err)
			}
			rules := clientcmd.NewDefaultClientConfigLoadingRules()
			rules.ExplicitPath = kubeconfig
			config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
			if err != nil {
				return fmt.Errorf("reading the kubeconfig: %w", err)
			}
			return standin.Run(command.Context(), config, options)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig of the cluster; without it KUBECONFIG, ~/.kube/config or the pod's own account")
	command.Flags().StringVar(&verbosity, "verbosity", verbosity, "0 logs failed passes, 1 every change of phase too, 2 dropped events too")
	options.AddFlags(command.Flags())
	standin.DescribeEnvironment(command.Flags())
	return command
}
