// Command kubectl-ambient is a plugin of kubectl, which finds it in the PATH:
// kubectl ambient start, stop and status of a Session.
//
// main owns signals, the exit code and how an error is told; package plugin does
// the work. Beside it lies kubectl_complete-ambient, by which kubectl completes
// what is typed behind "kubectl ambient".
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/ambient-code/ambient-kube/cmd/kubectl-ambient/internal/plugin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := plugin.New().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, plugin.Explain(err))
		os.Exit(1)
	}
}
