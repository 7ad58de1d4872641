// Command up starts the whole system on this machine, tells how it is doing,
// and stops it: `make up`, `make status`, `make logs`, `make down`, `make clean`.
//
// It owns what a person sees. What is started, and how, is in package stack.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		if !errors.Is(err, errTold) {
			fmt.Fprintln(os.Stderr, "Error:", err)
		}
		os.Exit(1)
	}
}

// errTold ends a command with code 1 after it has told why.
var errTold = errors.New("told already")

func newCommand() *cobra.Command {
	stand := &stand{}
	root := &cobra.Command{
		Use:   "up",
		Short: "Run the whole system on this machine",
		PersistentPreRunE: func(command *cobra.Command, _ []string) error {
			stand.out = command.OutOrStdout()
			absolute, err := filepath.Abs(stand.directory)
			if err != nil {
				return fmt.Errorf("finding %s: %w", stand.directory, err)
			}
			stand.directory = absolute
			return nil
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVar(&stand.directory, "directory", ".run", "where all state is kept")
	root.PersistentFlags().BoolVar(&stand.cluster, "cluster", false, "only a cluster without our programs, which make deploy puts there")
	add := func(name, short string, run func(context.Context) error) *cobra.Command {
		command := &cobra.Command{
			Use: name, Short: short, Args: cobra.NoArgs,
			RunE: func(command *cobra.Command, _ []string) error { return run(command.Context()) },
		}
		root.AddCommand(command)
		return command
	}
	add("up", "Start everything", stand.up)
	add("down", "Stop everything and keep the data", stand.down)
	add("clean", "Stop everything and remove the data", stand.clean)
	add("make-way", "Stop our programs, so that they can be deployed as pods", stand.makeWay)
	add("take-back", "Let up start our programs again, after they were removed", stand.takeBack)
	add("status", "Tell what runs; exit code 1 unless all does", stand.status)
	logs := add("logs", "Print the end of each log", stand.logs)
	logs.Flags().StringVar(&stand.logName, "name", "", "only the log of this process")
	logs.Flags().IntVar(&stand.logLines, "lines", 20, "lines of each log")
	return root
}
