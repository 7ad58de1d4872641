// Package logging makes the logger that option --log-level of our programs asks for.
package logging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"k8s.io/klog/v2"

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

// Use lets klog, and so the libraries and our own code, log to the logger.
func Use(logger *slog.Logger) {
	klog.SetSlogLogger(logger)
	// By that alone, warnings of klog would come as what only informs.
	klog.SetLoggerWithOptions(klog.Background(), klog.ContextualLogger(true), klog.WriteKlogBuffer(func(line []byte) {
		level := slog.LevelInfo
		header, message, found := strings.Cut(string(line), "] ")
		if !found {
			header, message = "", header
		}
		switch {
		case strings.HasPrefix(header, "W"):
			level = slog.LevelWarn
		case strings.HasPrefix(header, "E"), strings.HasPrefix(header, "F"):
			level = slog.LevelError
		}
		logger.Log(context.Background(), level, strings.TrimSuffix(message, "\n"))
	}))
}
