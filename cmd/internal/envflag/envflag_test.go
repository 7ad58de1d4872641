package envflag

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

type options struct {
	address string
	timeout time.Duration
	mode    *Choice
}

func newFlags() (*pflag.FlagSet, *options) {
	o := &options{mode: OneOf("none", "none", "static", "jwt")}
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.StringVar(&o.address, "grpc-address", "default:1", "where the upstream listens")
	flags.DurationVar(&o.timeout, "timeout", time.Second, "how long to wait")
	flags.Var(o.mode, "mode", "how to authenticate")
	flags.Bool("help", false, "help")
	Bind(flags, map[string][]string{"grpc-address": {"OLD_ADDRESS", "OLDER_ADDRESS"}})
	return flags, o
}

func TestWhichValueWins(t *testing.T) {
	for _, test := range []struct {
		name        string
		arguments   []string
		environment map[string]string
		want        string
	}{
		{name: "the default stands when nothing is set", want: "default:1"},
		{name: "the variable beats the default", environment: map[string]string{"AMBIENT_KUBE_GRPC_ADDRESS": "env:1"}, want: "env:1"},
		{name: "the option beats the variable", arguments: []string{"--grpc-address=option:1"}, environment: map[string]string{"AMBIENT_KUBE_GRPC_ADDRESS": "env:1"}, want: "option:1"},
		{name: "an option equal to the default beats the variable", arguments: []string{"--grpc-address=default:1"}, environment: map[string]string{"AMBIENT_KUBE_GRPC_ADDRESS": "env:1"}, want: "default:1"},
		{name: "our variable beats a fallback", environment: map[string]string{"AMBIENT_KUBE_GRPC_ADDRESS": "env:1", "OLD_ADDRESS": "old:1"}, want: "env:1"},
		{name: "fallbacks are read in their order", environment: map[string]string{"OLD_ADDRESS": "old:1", "OLDER_ADDRESS": "older:1"}, want: "old:1"},
		{name: "the last fallback is read too", environment: map[string]string{"OLDER_ADDRESS": "older:1"}, want: "older:1"},
		{name: "an empty variable counts as not set", environment: map[string]string{"AMBIENT_KUBE_GRPC_ADDRESS": "", "OLD_ADDRESS": "old:1"}, want: "old:1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, value := range test.environment {
				t.Setenv(name, value)
			}
			flags, o := newFlags()
			if err := flags.Parse(test.arguments); err != nil {
				t.Fatal(err)
			}
			if err := Apply(flags); err != nil {
				t.Fatal(err)
			}
			if o.address != test.want {
				t.Errorf("address = %q, want %q", o.address, test.want)
			}
		})
	}
}

func TestWrongValuesNameEveryVariableAndTheValidWords(t *testing.T) {
	t.Setenv("AMBIENT_KUBE_TIMEOUT", "soon")
	t.Setenv("AMBIENT_KUBE_MODE", "magic")
	flags, o := newFlags()
	err := Apply(flags)
	if err == nil {
		t.Fatal("two wrong values were accepted")
	}
	for _, want := range []string{"AMBIENT_KUBE_TIMEOUT", "AMBIENT_KUBE_MODE", "magic", "none, static, jwt"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error %q does not mention %q", err, want)
		}
	}
	if o.mode.String() != "none" {
		t.Errorf("a wrong word changed the option to %s", o.mode)
	}
}

func TestWrongOptionNamesTheValidWords(t *testing.T) {
	flags, _ := newFlags()
	err := flags.Parse([]string{"--mode=magic"})
	if err == nil || !strings.Contains(err.Error(), "none, static, jwt") {
		t.Errorf("error = %v, want one that names the valid words", err)
	}
}

func TestHelpNamesTheVariables(t *testing.T) {
	flags, _ := newFlags()
	usage := flags.FlagUsages()
	for _, want := range []string{
		"where the upstream listens (env AMBIENT_KUBE_GRPC_ADDRESS, fallback OLD_ADDRESS, OLDER_ADDRESS)",
		"how long to wait (env AMBIENT_KUBE_TIMEOUT)",
		"--mode none|static|jwt",
	} {
		if !strings.Contains(usage, want) {
			t.Errorf("the help lacks %q:\n%s", want, usage)
		}
	}
	if strings.Contains(usage, "AMBIENT_KUBE_HELP") {
		t.Error("--help got a variable")
	}
}

func TestBindingTwiceNamesTheVariableOnce(t *testing.T) {
	flags, _ := newFlags()
	Bind(flags, nil)
	if got := strings.Count(flags.FlagUsages(), "AMBIENT_KUBE_TIMEOUT"); got != 1 {
		t.Errorf("the variable stands %d times in the help", got)
	}
}
