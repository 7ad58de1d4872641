// Command ambient-kube-apiserver is the aggregated API server of the group
// ambient.io. main owns options and signals; package apiserver does the work.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/ambient-code/ambient-kube/apiserver"
	"github.com/ambient-code/ambient-kube/cmd/internal/envflag"
	"github.com/ambient-code/ambient-kube/cmd/internal/logging"
	"github.com/ambient-code/ambient-kube/release"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ambient-kube-apiserver:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	options := apiserver.NewOptions()
	library := logsapi.NewLoggingConfiguration()
	level := logging.NewLevel()
	command := &cobra.Command{
		Use:   "ambient-kube-apiserver",
		Short: "Serve the API group ambient.io from the ambient platform's system of record",
		Long: `ambient-kube-apiserver serves sessions, projects and projectsettings of the group
ambient.io as native Kubernetes resources. It is registered with a cluster's API
server as an aggregated API, keeps a watch cache equal to the upstream over gRPC,
and writes through to it.`,
		Args:          cobra.NoArgs,
		Version:       release.Version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := envflag.Apply(command.Flags()); err != nil {
				return err
			}
			if err := setUpLogging(os.Stderr, library, level.String()); err != nil {
				return err
			}
			return run(command.Context(), options)
		},
	}
	flags := command.Flags()
	options.AddFlags(flags)
	logsapi.AddFlags(library, flags)
	flags.Var(level, "log-level", "Least severe messages to log; debug is the same as --v=4, and warn and error leave out what only informs, whatever --v says.")
	flags.SetNormalizeFunc(cliflag.WordSepNormalizeFunc)
	fallbacks := map[string][]string{"log-level": {"LOG_LEVEL"}}
	for option, names := range apiserver.Fallbacks {
		fallbacks[option] = names
	}
	envflag.Bind(flags, fallbacks)
	return command
}

// setUpLogging lets the library log as its own options say, and less if the level asks
// for less, which it has no option for.
func setUpLogging(out io.Writer, library *logsapi.LoggingConfiguration, level string) error {
	if level == "debug" && library.Verbosity == 0 {
		library.Verbosity = 4
	}
	if err := keepsSecrets(library); err != nil {
		return err
	}
	if err := logsapi.ValidateAndApply(library, nil); err != nil {
		return fmt.Errorf("logging: %w", err)
	}
	if level != "warn" && level != "error" {
		return nil
	}
	logger, err := logging.New(out, level)
	if err != nil {
		return err
	}
	logging.Use(logger)
	return nil
}

// mostVerbose is the highest verbosity at which the Kubernetes client logs no bodies of
// requests and answers.
const mostVerbose = 7

// keepsSecrets refuses verbosities at which the log would hold callers' tokens, the
// environments of sessions and the key of our certificate authority.
func keepsSecrets(library *logsapi.LoggingConfiguration) error {
	asked := library.Verbosity
	for _, pattern := range library.VModule {
		asked = max(asked, pattern.Verbosity)
	}
	if asked > mostVerbose {
		return fmt.Errorf("logging: verbosity %d of --v or --vmodule is too high: above %d, the bodies of requests and with them tokens, environments and private keys would be logged", asked, mostVerbose)
	}
	return nil
}

func run(ctx context.Context, options *apiserver.Options) error {
	defer logs.FlushLogs()
	legacyregistry.RawMustRegister(release.NewCollector())
	if err := options.Validate(); err != nil {
		return err
	}
	config, err := options.Config(ctx)
	if err != nil {
		return err
	}
	server, err := config.Complete().New(ctx)
	if err != nil {
		return err
	}
	return server.Run(ctx)
}
