package settings

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ambient-code/ambient-kube/reconciler/session"
)

// failure is what could not be done for a part of the settings.
type failure struct {
	// field is the path of the part.
	field string
	err   error
}

// failures are what could not be done in a pass.
type failures []failure

// err returns all that failed as one error, nil if nothing did.
func (f failures) err() error {
	errs := make([]error, 0, len(f))
	for _, failure := range f {
		errs = append(errs, failure.err)
	}
	return errors.Join(errs...)
}

// refused returns those that say that the cluster refuses something.
func (f failures) refused() failures {
	return slices.DeleteFunc(slices.Clone(f), func(failure failure) bool { return !session.Refused(failure.err) })
}

// String says which fields the cluster refuses.
func (f failures) String() string {
	var fields []string
	for _, failure := range f {
		if !slices.Contains(fields, failure.field) {
			fields = append(fields, failure.field)
		}
	}
	return fmt.Sprintf("The cluster refuses what %s asks for", session.Enumerate(fields))
}

// message says what the cluster refuses, and the first of it in the cluster's words.
func (f failures) message() string { return fmt.Sprintf("%s: %s", f, session.Answer(f[0].err)) }

// event says what the cluster refuses. It quotes nobody.
func (f failures) event() string { return fmt.Sprintf("%s; condition Projected says why", f) }
