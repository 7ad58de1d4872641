package standin

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestOptionsComeFromFlagsBeforeTheEnvironment(t *testing.T) {
	t.Setenv("AMBIENT_KUBE_STEP", "5s")
	t.Setenv("AMBIENT_KUBE_RUN_DURATION", "6s")
	options := DefaultOptions()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	options.AddFlags(flags)
	if err := flags.Parse([]string{"--step=1s"}); err != nil {
		t.Fatal(err)
	}
	if err := ReadEnvironment(flags); err != nil {
		t.Fatal(err)
	}
	if want := (Timing{Step: time.Second, Run: 6 * time.Second}); options.Timing != want {
		t.Errorf("timing is %v, want %v", options.Timing, want)
	}
	DescribeEnvironment(flags)
	if usage := flags.FlagUsages(); !strings.Contains(usage, "[AMBIENT_KUBE_RETRY_LIMIT]") {
		t.Errorf("help does not name the environment:\n%s", usage)
	}
	t.Setenv("AMBIENT_KUBE_WORKERS", "many")
	if err := ReadEnvironment(flags); err == nil || !strings.Contains(err.Error(), "AMBIENT_KUBE_WORKERS") {
		t.Errorf("a wrong variable gives %v, want an error that names it", err)
	}
}

func TestOptionsAreValidated(t *testing.T) {
	if options := DefaultOptions(); options.Validate() != nil {
		t.Errorf("the defaults are refused: %v", options.Validate())
	}
	err := (&Options{Timing: Timing{Step: -1, Run: -1}}).Validate()
	for _, flag := range []string{"--step", "--run-duration", "--workers", "--retry-limit", "--qps"} {
		if err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("error %v does not name %s", err, flag)
		}
	}
}

func TestParseOutcome(t *testing.T) {
	script := map[string]string{"a": "fail", "b": " crash\n", "default": "complete", "c": "explode"}
	for name, want := range map[string]Outcome{"a": OutcomeFail, "b": OutcomeCrash, "other": OutcomeComplete} {
		if got, err := parseOutcome(script, name); got != want || err != nil {
			t.Errorf("outcome of %s is %q, %v, want %q", name, got, err, want)
		}
	}
	if got, err := parseOutcome(nil, "a"); got != OutcomeRun || err != nil {
		t.Errorf("outcome without script is %q, %v, want run", got, err)
	}
	if _, err := parseOutcome(script, "c"); err == nil || !strings.Contains(err.Error(), "run, complete, fail, crash, lose") {
		t.Errorf("a wrong outcome gives %v, want an error that names the valid ones", err)
	}
}
