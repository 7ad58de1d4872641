// Package calm turns a logger's errors into information, for libraries that call an
// attempt an error which they repeat: if it is in vain, the process says so itself.
package calm

import (
	"fmt"

	"github.com/go-logr/logr"
)

// Logger returns a logger that takes errors for information.
func Logger(logger logr.Logger) logr.Logger { return logger.WithSink(sink{logger.GetSink()}) }

type sink struct{ logr.LogSink }

// Error implements logr.LogSink.
func (s sink) Error(err error, message string, keysAndValues ...any) {
	s.Info(0, message, append([]any{"err", fmt.Sprint(err)}, keysAndValues...)...)
}

// WithValues implements logr.LogSink.
func (s sink) WithValues(keysAndValues ...any) logr.LogSink {
	return sink{s.LogSink.WithValues(keysAndValues...)}
}

// WithName implements logr.LogSink.
func (s sink) WithName(name string) logr.LogSink { return sink{s.LogSink.WithName(name)} }
