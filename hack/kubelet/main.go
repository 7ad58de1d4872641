// Command kubelet stands for a node of a cluster on this machine: it runs the
// cluster's pods as processes, and carries kube-apiserver's connections to them.
//
// main owns options and signals; package node runs pods, package network carries.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/ambient-code/ambient-kube/hack/image"
	"github.com/ambient-code/ambient-kube/hack/kubelet/network"
	"github.com/ambient-code/ambient-kube/hack/kubelet/node"
)

type options struct {
	kubeconfig, directory, repository, binaries, socket, name string
	images                                                    []string
	keep                                                      map[string]string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubelet:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	var o options
	command := &cobra.Command{
		Use: "kubelet", Short: "Run the pods of a cluster as processes of this machine", Args: cobra.NoArgs,
		SilenceErrors: true, SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error { return run(command.Context(), o) },
	}
	flags := command.Flags()
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster's administrator")
	flags.StringVar(&o.directory, "directory", "", "where pods have their files and logs")
	flags.StringVar(&o.repository, "repository", "", "root of the source tree, for its Dockerfile.prebuilt")
	flags.StringVar(&o.binaries, "binaries", "", "folder of the static programs that images are made of")
	flags.StringSliceVar(&o.images, "images", []string{"ambient-kube-apiserver", "ambient-kube-reconciler", "ambientd"}, "programs to make images of")
	flags.StringToStringVar(&o.keep, "keep", nil, "program=file: the file is put into the emptyDir of the program's pods, and taken out again when they end")
	flags.StringVar(&o.socket, "egress-socket", "", "path of the socket through which kube-apiserver reaches pods")
	flags.StringVar(&o.name, "name", "local", "name of the node")
	return command
}

func run(ctx context.Context, o options) error {
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	server, err := url.Parse(config.Host)
	if err != nil {
		return fmt.Errorf("reading the address of kube-apiserver: %w", err)
	}
	images, err := pull(o)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(server.Host)
	if err != nil {
		return fmt.Errorf("reading the address of kube-apiserver: %w", err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	cluster := network.New(factory)
	machine := node.New(node.Options{
		Name: o.name, Directory: o.directory, Images: images, Client: client, APIServerHost: host, APIServerPort: port, Keep: o.keep,
	}, cluster, factory)
	group, ctx := errgroup.WithContext(ctx)
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	group.Go(func() error { return cluster.Run(ctx, o.socket) })
	group.Go(func() error { return machine.Run(ctx) })
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("standing for a node: %w", err)
	}
	return nil
}

// pull lays out the images: what Dockerfile.prebuilt makes of the programs, in the
// folders where it looks for them.
func pull(o options) (map[string]*image.Image, error) {
	file, err := image.Read(filepath.Join(o.repository, "Dockerfile.prebuilt"))
	if err != nil {
		return nil, err
	}
	all := filepath.Join(o.directory, "images")
	if err := os.RemoveAll(all); err != nil {
		return nil, fmt.Errorf("removing old images: %w", err)
	}
	for _, folder := range []string{all, filepath.Join(o.directory, "pods"), filepath.Join(o.directory, "logs")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, fmt.Errorf("making a directory: %w", err)
		}
	}
	source, err := image.Context(filepath.Join(all, "context"), o.repository, o.binaries, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	images := map[string]*image.Image{}
	for _, name := range o.images {
		arguments := map[string]string{"PROGRAM": name, "TARGETARCH": runtime.GOARCH}
		if images[name], err = file.Layout(source, filepath.Join(all, name), arguments); err != nil {
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
	}
	return images, nil
}
