// Package envflag lets every option of a binary be given by an environment
// variable as well: --some-option reads AMBIENT_KUBE_SOME_OPTION, and older names
// as fallbacks. An option on the command line beats the environment.
//
// It owns the naming rule, the help text and the error messages; it must not
// know any particular option.
package envflag

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Prefix begins the name of every environment variable that belongs to an option.
const Prefix = "AMBIENT_KUBE_"

// annotation is the key under which a flag carries the names of its variables,
// the most important first.
const annotation = "ambient.io/environment"

// Variable returns the name of the environment variable that belongs to an option.
func Variable(option string) string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(option, "-", "_"))
}

// Bind gives every option in flags its environment variable and names it in the
// option's help. The fallbacks, keyed by option, are further variables that are
// read, in their order, when the first one is not set. Call it once, after the
// options are defined and before they are parsed; the options --help and
// --version stay as they are, and so do options that are bound already.
func Bind(flags *pflag.FlagSet, fallbacks map[string][]string) {
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Name == "help" || flag.Name == "version" {
			return
		}
		if _, bound := flag.Annotations[annotation]; bound {
			return
		}
		variables := append([]string{Variable(flag.Name)}, fallbacks[flag.Name]...)
		if flag.Annotations == nil {
			flag.Annotations = map[string][]string{}
		}
		flag.Annotations[annotation] = variables
		note := "env " + variables[0]
		if len(variables) > 1 {
			note += ", fallback " + strings.Join(variables[1:], ", ")
		}
		flag.Usage = strings.TrimSpace(flag.Usage + " (" + note + ")")
	})
}

// Apply sets every bound option that the command line did not set from its first
// environment variable that is not empty. It tries all options before it returns,
// so that one run shows every wrong variable; each error names the variable.
func Apply(flags *pflag.FlagSet) error {
	var errs []error
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed {
			return
		}
		for _, variable := range flag.Annotations[annotation] {
			value := os.Getenv(variable)
			if value == "" {
				continue
			}
			if err := flags.Set(flag.Name, value); err != nil {
				errs = append(errs, fmt.Errorf("environment variable %s: %w", variable, err))
			}
			return
		}
	})
	return errors.Join(errs...)
}

// Choice is the value of an option that takes one of a few words.
type Choice struct {
	value string
	valid []string
}

var _ pflag.Value = (*Choice)(nil)

// OneOf returns a Choice that holds value until it is set and accepts the valid
// words only.
func OneOf(value string, valid ...string) *Choice {
	return &Choice{value: value, valid: valid}
}

// String returns the chosen word.
func (c *Choice) String() string { return c.value }

// Set chooses a word; the error for any other names the valid ones.
func (c *Choice) Set(value string) error {
	if !slices.Contains(c.valid, value) {
		return fmt.Errorf("%q is not one of %s", value, strings.Join(c.valid, ", "))
	}
	c.value = value
	return nil
}

// Type shows the valid words in the option's help.
func (c *Choice) Type() string { return strings.Join(c.valid, "|") }
