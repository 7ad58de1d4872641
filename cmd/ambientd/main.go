// Command ambientd is an embedded stand-in for ambient-api-server: the same gRPC
// services on one SQLite file, for trying the system and for tests. Its
// subcommands play the part of the upstream's own users.
//
// main owns options and signals, and knows nothing about what they lead to.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/client"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/daemon"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/identity"
	"github.com/ambient-code/ambient-kube/cmd/internal/envflag"
	"github.com/ambient-code/ambient-kube/cmd/internal/logging"
	"github.com/ambient-code/ambient-kube/release"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ambientd:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	var (
		options        daemon.Options
		authentication = envflag.OneOf(string(identity.None), string(identity.None), string(identity.Static), string(identity.JWT))
		level          = logging.NewLevel()
	)
	command := &cobra.Command{
		Use:   "ambientd --data FILE",
		Short: "An embedded ambient-api-server for trials and tests",
		Long: `ambientd serves the gRPC services of ambient-api-server (sessions, projects and
project settings) from one SQLite file, with the real server's semantics: watches
that lose events, listings without order, updates without conflict detection.

The subcommands are a small client that plays the upstream's own users.`,
		Args:          cobra.NoArgs,
		Version:       release.Version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(command *cobra.Command, _ []string) error {
			return envflag.Apply(command.Flags())
		},
		RunE: func(command *cobra.Command, _ []string) error {
			logger, err := logging.New(os.Stderr, level.String())
			if err != nil {
				return err
			}
			options.Authentication = identity.Mode(authentication.String())
			if options.TokenFile == "" {
				options.Token = os.Getenv("AMBIENT_API_TOKEN")
			}
			return daemon.Run(command.Context(), options, logger)
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.DataFile, "data", "", "path of the data file; it is created if it does not exist")
	flags.StringVar(&options.Listen, "listen", "127.0.0.1:9000", "address of the gRPC services")
	flags.StringVar(&options.AddressFile, "address-file", "", "file that receives the addresses as JSON once the server listens")
	flags.Var(authentication, "auth", "who may see something in listings and watches: none lets everybody; static the bearer of the token, and shows others an empty world; jwt requires a signed token, and shows something to service accounts")
	flags.StringVar(&options.TokenFile, "token-file", "", "file with the static token; without it, the variable AMBIENT_API_TOKEN holds the token itself")
	flags.StringVar(&options.KeySetFile, "jwks-file", "", "file with the keys (JWKS) that sign tokens, for --auth=jwt")
	flags.StringVar(&options.ServiceAccount, "service-account", "", "user name that counts as a service, beside those that begin with service-account-")
	flags.IntVar(&options.PoolSize, "database-pool-size", 50, "connections of the imitated database pool; a call holds one and an update needs two more")
	flags.StringVar(&options.CertificateFile, "tls-cert-file", "", "serving certificate (PEM); turns TLS on")
	flags.StringVar(&options.KeyFile, "tls-key-file", "", "key of the serving certificate (PEM)")
	flags.StringVar(&options.ControlListen, "control-listen", "", "loopback address of the interface that injects faults; empty turns it off")
	flags.Var(level, "log-level", "least severe messages to log")

	command.AddCommand(client.Commands()...)
	bind(command)
	return command
}

// bind gives every option of the command and of its subcommands its variable.
func bind(command *cobra.Command) {
	fallbacks := map[string][]string{
		"log-level":       {"LOG_LEVEL"},
		"service-account": {"GRPC_SERVICE_ACCOUNT"},
	}
	envflag.Bind(command.PersistentFlags(), fallbacks)
	envflag.Bind(command.Flags(), fallbacks)
	for _, subcommand := range command.Commands() {
		bind(subcommand)
	}
}
