// Command deploy puts our manifests onto a cluster, takes them off again, and prints
// them: `make deploy`, `make undeploy`, `make manifests`.
//
// It owns the order of the two: an APIService whose server is away, and a webhook
// whose server is away, hurt the whole cluster. What is deployed stands in
// manifests; kubectl does the work.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	d := &deployment{}
	root := &cobra.Command{
		Use: "deploy", Short: "Put our manifests onto a cluster, and take them off again",
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun: func(command *cobra.Command, _ []string) { d.out = command.OutOrStdout() },
	}
	flags := root.PersistentFlags()
	flags.StringVar(&d.repository, "repository", ".", "root of the source tree")
	flags.StringVar(&d.overlay, "overlay", "", "name of a folder in manifests/overlays, or path of a kustomization of yours")
	flags.StringVar(&d.registry, "image-registry", "", "registry of the images, with its folder; that of the overlay, if empty")
	flags.StringVar(&d.tag, "image-tag", "", "tag of the images; that of the overlay, if empty")
	flags.StringVar(&d.kubectl, "kubectl", "kubectl", "path of kubectl, which knows the cluster")
	flags.DurationVar(&d.timeout, "timeout", 5*time.Minute, "how long each step may take")
	add := func(name, short string, run func(context.Context) error) {
		root.AddCommand(&cobra.Command{Use: name, Short: short, Args: cobra.NoArgs, RunE: func(command *cobra.Command, _ []string) error {
			return run(command.Context())
		}})
	}
	add("render", "Print the manifests", d.print)
	add("apply", "Put the manifests onto the cluster, and wait until all of it serves", d.apply)
	add("remove", "Take the manifests off the cluster; definitions and projects' namespaces stay", d.remove)
	return root
}
