// Package logging makes the logger that option --log-level of our programs asks for.
package logging

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/ambient-code/ambient-kube/cmd/internal/envflag"
)

// NewLevel returns the value of option --log-level: one of the words debug, info, warn
// and error, info by default.
func NewLevel() *envflag.Choice { return envflag.OneOf("info", "debug", "info", "warn", "error") }

// New returns a logger that writes what is of the level or more severe.
func New(out io.Writer, level string) (*slog.Logger, error) {
	var parsed slog.Level
	if err := parsed.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: parsed})), nil
}
