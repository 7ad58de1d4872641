package standin

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Options are the switches of the stand-in; DefaultOptions gives the values
// that make it behave like the platform's operator, only faster.
type Options struct {
	// Timing holds --step and --run-duration.
	Timing Timing
	// RequireRunnerSecret is the operator with Vertex off: without the runner
	// secret no session starts.
	RequireRunnerSecret bool
	// CreateProjectSettings makes an empty ProjectSettings in each managed
	// namespace when it appears.
	CreateProjectSettings bool
	// RecordLaunches keeps Launches in each namespace. One ConfigMap holds some
	// five thousand sessions; for more, switch it off.
	RecordLaunches bool
	// ClearBlindly clears an annotation of a request that was acted on even if
	// it meanwhile says something else. The platform's operator does so, and
	// thus now and then loses a stop that follows a start closely.
	ClearBlindly bool
	// Workers is the number of sessions that are worked on at a time.
	Workers int
	// RetryLimit is the longest pause before a failed pass is repeated.
	RetryLimit time.Duration
	// QPS and Burst limit the requests to the API server.
	QPS   float32
	Burst int
}

// DefaultOptions returns the options of an operator without switches.
func DefaultOptions() Options {
	return Options{
		Timing:                Timing{Step: 300 * time.Millisecond, Run: 2 * time.Second},
		RequireRunnerSecret:   true,
		CreateProjectSettings: true,
		RecordLaunches:        true,
		Workers:               10,
		RetryLimit:            2 * time.Second,
		QPS:                   100,
		Burst:                 200,
	}
}

// AddFlags adds a flag for each option, with the option's present value as the
// default.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	flags.DurationVar(&o.Timing.Step, "step", o.Timing.Step, "least time between two phases")
	flags.DurationVar(&o.Timing.Run, "run-duration", o.Timing.Run,
		"time in phase Running before the outcome that ConfigMap "+ScriptName+" names")
	flags.BoolVar(&o.RequireRunnerSecret, "require-runner-secret", o.RequireRunnerSecret,
		"start sessions only where secret "+RunnerSecretName+" exists")
	flags.BoolVar(&o.CreateProjectSettings, "create-project-settings", o.CreateProjectSettings,
		"create ProjectSettings projectsettings in each managed namespace")
	flags.BoolVar(&o.RecordLaunches, "record-launches", o.RecordLaunches,
		"record runners and prompts in ConfigMap "+LaunchesName)
	flags.BoolVar(&o.ClearBlindly, "clear-blindly", o.ClearBlindly,
		"clear the annotations of a request even if they have changed since")
	flags.IntVar(&o.Workers, "workers", o.Workers, "sessions worked on at a time")
	flags.DurationVar(&o.RetryLimit, "retry-limit", o.RetryLimit, "longest pause before a failed pass is repeated")
	flags.Float32Var(&o.QPS, "qps", o.QPS, "requests a second to the API server")
	flags.IntVar(&o.Burst, "burst", o.Burst, "requests at once to the API server")
}

// Validate returns all that is wrong with the options, nil if nothing is.
func (o *Options) Validate() error {
	var problems []error
	if o.Timing.Step < 0 {
		problems = append(problems, fmt.Errorf("--step is %v, want 0 or more", o.Timing.Step))
	}
	if o.Timing.Run < 0 {
		problems = append(problems, fmt.Errorf("--run-duration is %v, want 0 or more", o.Timing.Run))
	}
	if o.Workers < 1 {
		problems = append(problems, fmt.Errorf("--workers is %d, want 1 or more", o.Workers))
	}
	if o.RetryLimit <= 0 {
		problems = append(problems, fmt.Errorf("--retry-limit is %v, want more than 0", o.RetryLimit))
	}
	if o.QPS <= 0 || o.Burst < 1 {
		problems = append(problems, fmt.Errorf("--qps is %v and --burst is %d, want more than 0", o.QPS, o.Burst))
	}
	return errors.Join(problems...)
}

// EnvironmentVariable returns the variable that is read for a flag that isn't
// given.
func EnvironmentVariable(flag string) string {
	return "AMBIENT_KUBE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// DescribeEnvironment adds to each flag's help the variable that it reads.
func DescribeEnvironment(flags *pflag.FlagSet) {
	flags.VisitAll(func(flag *pflag.Flag) {
		flag.Usage += " [" + EnvironmentVariable(flag.Name) + "]"
	})
}

// ReadEnvironment sets each flag that was not given on the command line from
// its variable, where that is set.
func ReadEnvironment(flags *pflag.FlagSet) error {
	var problems []error
	flags.VisitAll(func(flag *pflag.Flag) {
		name := EnvironmentVariable(flag.Name)
		value, found := os.LookupEnv(name)
		if flag.Changed || !found {
			return
		}
		if err := flags.Set(flag.Name, value); err != nil {
			problems = append(problems, fmt.Errorf("environment variable %s: %w", name, err))
		}
	})
	return errors.Join(problems...)
}
