// Command mutants proves that tests notice: it breaks the code in one named way
// after the other, and requires that a named test turns red for each.
//
// It owns the table of breakages, each an exact replacement of text, and how they
// are tried: as an overlay of the Go build, so that the source tree stays as it
// is. A test that is red without a breakage, a breakage whose text is not there
// exactly once, and one that does not compile are errors, not successes.
//
//	go run ./hack/mutants                  try all
//	go run ./hack/mutants -run 'journal'   try those whose name, file or test matches
//	go run ./hack/mutants -markdown        print the table of docs/testing.md
//
// It must not know why a test is right.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/ambient-code/ambient-kube/hack/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "Error:", err)
		}
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string, out io.Writer) error {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	pattern := flags.String("run", "", "try only mutants whose name, file, package or test matches this regular expression")
	markdown := flags.Bool("markdown", false, "print the table of all mutants and end")
	if err := flags.Parse(arguments); err != nil {
		return fmt.Errorf("reading the arguments: %w", err)
	}
	if *markdown {
		_, err := fmt.Fprint(out, table(mutants()))
		return err
	}
	repository, err := stack.Repository()
	if err != nil {
		return err
	}
	chosen, err := choose(mutants(), *pattern)
	if err != nil {
		return err
	}
	return trial{repository: repository, out: out}.run(ctx, chosen)
}

// choose returns the mutants that match the pattern.
func choose(all []mutant, pattern string) ([]mutant, error) {
	expression, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("reading -run: %w", err)
	}
	var chosen []mutant
	for _, m := range all {
		if expression.MatchString(strings.Join([]string{m.name, m.file, m.testPackage(), m.test}, "\n")) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no mutant matches %q", pattern)
	}
	return chosen, nil
}
