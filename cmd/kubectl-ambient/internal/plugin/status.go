package plugin

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

func newStatus(shared *connection) *cobra.Command {
	var waiting waiting
	command := &cobra.Command{
		Use:   "status NAME",
		Short: "Tell how a session is doing",
		Long: `Tell a session's phase and times, the AgenticSession that runs it, and its
conditions.`,
		Example: `  # How is it doing?
  kubectl ambient status flaky-test -n payments

  # The same, once nothing is under way any more
  kubectl ambient status flaky-test -n payments --wait`,
		Args:              oneName,
		ValidArgsFunction: shared.completeName(func(v1alpha1.SessionPhase) bool { return true }),
		RunE: func(command *cobra.Command, arguments []string) error {
			sessions, err := shared.sessions()
			if err != nil {
				return err
			}
			session, err := sessions.Get(command.Context(), arguments[0], metav1.GetOptions{})
			if err != nil {
				return fmt.Errorf("reading session %s: %w", arguments[0], err)
			}
			if waiting.wait {
				if session, err = waiting.until(command.Context(), sessions, session, settled); err != nil {
					return err
				}
			}
			return describe(command.OutOrStdout(), session, time.Now())
		},
	}
	waiting.bind(command, "the session runs or has ended, or is not going to run by itself")
	return command
}

// phaseText spells a phase; the empty one has no word of its own.
func phaseText(phase v1alpha1.SessionPhase) string {
	return cmp.Or(string(phase), "not started")
}

// meanings are what a phase does not say by its name.
var meanings = map[v1alpha1.SessionPhase]string{
	v1alpha1.SessionPending:  "a start was requested",
	v1alpha1.SessionStopping: "a stop was requested",
}

// describe tells a person of the session.
func describe(out io.Writer, session *v1alpha1.Session, now time.Time) error {
	status := &session.Status
	table := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s:\t%s\n", name, value)
		}
	}
	line("Session", session.Namespace+"/"+session.Name)
	if session.Spec.DisplayName != session.Name {
		line("Display name", session.Spec.DisplayName)
	}
	line("Phase", withNote(phaseText(status.Phase), meanings[status.Phase]))
	if status.Phase == v1alpha1.SessionStopped {
		line("Stopped by", status.StoppedReason)
	}
	line("Created", timeText(&session.CreationTimestamp, now))
	line("Started", timeText(status.StartTime, now))
	// What the last run left is no news of one that has begun since.
	if end := status.CompletionTime; end != nil && (status.Phase.IsTerminal() || status.StartTime == nil || !end.Before(status.StartTime)) {
		line("Ended", timeText(end, now))
	}
	line("Last active", timeText(status.LastActivityTime, now))
	if resource := status.AgenticSession; resource != nil && resource.Name != "" {
		line("Runs as", fmt.Sprintf("agenticsession/%s in namespace %s", resource.Name, resource.Namespace))
	}
	line("Upstream id", status.SessionID)
	if session.DeletionTimestamp != nil {
		line("Deleted", timeText(session.DeletionTimestamp, now))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return describeConditions(out, status.Conditions, now)
}

func describeConditions(out io.Writer, conditions []metav1.Condition, now time.Time) error {
	if len(conditions) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(table, "\nCONDITION\tSTATUS\tREASON\tSINCE\tMESSAGE")
	for _, condition := range slices.SortedStableFunc(slices.Values(conditions), func(a, b metav1.Condition) int { return rank(a.Type) - rank(b.Type) }) {
		since := ""
		if !condition.LastTransitionTime.IsZero() {
			since = duration.HumanDuration(now.Sub(condition.LastTransitionTime.Time))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", condition.Type, condition.Status, condition.Reason, since, strings.ReplaceAll(condition.Message, "\n", " "))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

// rank puts first what sums the others up.
func rank(kind string) int {
	order := []string{v1alpha1.ConditionReady, v1alpha1.ConditionProjected}
	if place := slices.Index(order, kind); place >= 0 {
		return place
	}
	return len(order)
}

func withNote(text, note string) string {
	if note == "" {
		return text
	}
	return text + ", " + note
}

func timeText(at *metav1.Time, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s (%s ago)", at.UTC().Format(time.RFC3339), duration.HumanDuration(now.Sub(at.Time)))
}
