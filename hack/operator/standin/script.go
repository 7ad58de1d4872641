package standin

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

// ScriptName names the ConfigMap of a namespace that says what becomes of the
// sessions in it: the key is the session's name, or default, and the value an
// Outcome. It is read in each pass, and a change of it causes one.
const ScriptName = "ambient-operator-script"

// scriptDefault is the key for sessions that the script does not name.
const scriptDefault = "default"

// Outcome is what becomes of a runner.
type Outcome string

// The outcomes that a script may name.
const (
	// OutcomeRun keeps running. It is what an unscripted session does.
	OutcomeRun Outcome = "run"
	// OutcomeComplete ends Completed after the run duration.
	OutcomeComplete Outcome = "complete"
	// OutcomeFail ends Failed after the run duration, the runner having exited
	// with code 1.
	OutcomeFail Outcome = "fail"
	// OutcomeCrash ends Failed without ever being Running: the runner crashes
	// as it starts.
	OutcomeCrash Outcome = "crash"
	// OutcomeLose loses the pod after the run duration; the operator goes back
	// to Pending and starts another runner, again and again.
	OutcomeLose Outcome = "lose"
)

var outcomes = []Outcome{OutcomeRun, OutcomeComplete, OutcomeFail, OutcomeCrash, OutcomeLose}

// parseOutcome finds the outcome of the session called name in the script's
// data.
func parseOutcome(data map[string]string, name string) (Outcome, error) {
	text, found := data[name]
	if !found {
		text, found = data[scriptDefault]
	}
	if !found {
		return OutcomeRun, nil
	}
	names := make([]string, 0, len(outcomes))
	for _, outcome := range outcomes {
		if strings.TrimSpace(text) == string(outcome) {
			return outcome, nil
		}
		names = append(names, string(outcome))
	}
	return "", fmt.Errorf("ConfigMap %s: outcome %q of %s is none of %s", ScriptName, text, name, strings.Join(names, ", "))
}

// readOutcome reads what becomes of the session called name.
func readOutcome(ctx context.Context, client dynamic.Interface, namespace, name string) (Outcome, error) {
	script, err := client.Resource(configMaps).Namespace(namespace).Get(ctx, ScriptName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return OutcomeRun, nil
	}
	if err != nil {
		return "", fmt.Errorf("reading ConfigMap %s/%s: %w", namespace, ScriptName, err)
	}
	data, _, err := unstructured.NestedStringMap(script.Object, "data")
	if err != nil {
		return "", fmt.Errorf("reading ConfigMap %s/%s: %w", namespace, ScriptName, err)
	}
	return parseOutcome(data, name)
}
