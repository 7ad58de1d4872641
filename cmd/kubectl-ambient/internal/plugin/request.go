package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	typedv1alpha1 "github.com/ambient-code/ambient-kube/apiserver/client/versioned/typed/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/cmd/internal/envflag"
)

// defaultTimeout is how long --wait waits: a runner's image may have to be
// pulled.
const defaultTimeout = 5 * time.Minute

// fieldManager names us where the server records who wrote.
const fieldManager = "kubectl-ambient"

// action is something that can be asked for.
type action struct {
	name, short, long, example string
	// from are the phases of sessions that are offered by completion; the server
	// decides which are accepted.
	from []v1alpha1.SessionPhase
	post func(sessions typedv1alpha1.SessionInterface, ctx context.Context, name string, request *v1alpha1.SessionRequest, options metav1.CreateOptions) (*v1alpha1.Session, error)
	goal goal
}

var (
	start = action{
		name: "start", short: "Start a session, or start it again",
		long: `Start a session that was never started or has ended.

With --wait, the command ends when the session runs, or has completed already. It
fails if the session ends otherwise.`,
		example: `  # Start a session
  kubectl ambient start flaky-test -n payments

  # Would that be granted?
  kubectl ambient start flaky-test -n payments --dry-run=server

  # Start it and wait until it runs, at most two minutes
  kubectl ambient start flaky-test -n payments --wait --timeout 2m`,
		from: []v1alpha1.SessionPhase{"", v1alpha1.SessionStopped, v1alpha1.SessionCompleted, v1alpha1.SessionFailed},
		post: typedv1alpha1.SessionInterface.Start, goal: started,
	}
	stop = action{
		name: "stop", short: "Stop a session",
		long: `Stop a session that runs or is about to.

With --wait, the command ends when the session has ended, in whatever way.`,
		example: `  # Stop a session
  kubectl ambient stop flaky-test -n payments

  # Say why, for those who read the session's events
  kubectl ambient stop flaky-test -n payments --reason "wrong branch"

  # Stop it and wait until it has ended
  kubectl ambient stop flaky-test -n payments --wait`,
		from: []v1alpha1.SessionPhase{v1alpha1.SessionPending, v1alpha1.SessionCreating, v1alpha1.SessionRunning},
		post: typedv1alpha1.SessionInterface.Stop, goal: ended,
	}
)

const (
	dryRunNone   = "none"
	dryRunServer = "server"
)

// waiting are the options of a command that may wait.
type waiting struct {
	wait    bool
	timeout time.Duration
}

func (w *waiting) bind(command *cobra.Command, until string) {
	command.Flags().BoolVar(&w.wait, "wait", false, "wait until "+until)
	command.Flags().DurationVar(&w.timeout, "timeout", defaultTimeout, "how long to wait; 0 for as long as it takes")
}

func newRequest(action action, shared *connection) *cobra.Command {
	var (
		waiting waiting
		reason  string
		dryRun  = envflag.OneOf(dryRunNone, dryRunNone, dryRunServer)
	)
	command := &cobra.Command{
		Use: action.name + " NAME", Short: action.short, Long: action.long, Example: action.example,
		Args:              oneName,
		ValidArgsFunction: shared.completeName(func(phase v1alpha1.SessionPhase) bool { return slices.Contains(action.from, phase) }),
		RunE: func(command *cobra.Command, arguments []string) error {
			options := metav1.CreateOptions{FieldManager: fieldManager}
			note := ""
			if dryRun.String() == dryRunServer {
				if waiting.wait {
					return errors.New("--wait waits for what a --dry-run does not do; leave one of them out")
				}
				options.DryRun, note = []string{metav1.DryRunAll}, " (server dry run)"
			}
			sessions, err := shared.sessions()
			if err != nil {
				return err
			}
			name := arguments[0]
			session, err := action.post(sessions, command.Context(), name, &v1alpha1.SessionRequest{Reason: reason}, options)
			if err != nil {
				return fmt.Errorf("asking for a %s of %s: %w", action.name, name, err)
			}
			say := func(what string) { fmt.Fprintf(command.OutOrStdout(), "session.ambient.io/%s %s\n", name, what) }
			say(action.name + " requested" + note)
			if !waiting.wait {
				return nil
			}
			session, err = waiting.until(command.Context(), sessions, session, action.goal)
			if err != nil {
				return err
			}
			say("is " + phaseText(session.Status.Phase))
			return nil
		},
	}
	waiting.bind(command, "the request is fulfilled")
	command.Flags().StringVar(&reason, "reason", "", "why, for those who read the session's events")
	command.Flags().Var(dryRun, "dry-run", "server asks whether the request would be granted, and requests nothing")
	registerChoices(command, "dry-run", dryRunNone, dryRunServer)
	return command
}

func oneName(_ *cobra.Command, arguments []string) error {
	if len(arguments) != 1 {
		return fmt.Errorf("name one session, not %d", len(arguments))
	}
	return nil
}

func registerChoices(command *cobra.Command, option string, words ...cobra.Completion) {
	if err := command.RegisterFlagCompletionFunc(option, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		// It can only say that there is no such option.
		panic(err)
	}
}
