package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// kept returns the file that the pod's emptyDir has from outside; empty for none.
func (w *worker) kept() string { return w.node.Keep[imageName(w.container.Image)] }

// bring puts the kept file into the pod's emptyDir, if there is one yet.
func (w *worker) bring(at string) error {
	from := w.kept()
	if from == "" {
		return nil
	}
	content, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("bringing what is kept: %w", err)
	}
	return replace(filepath.Join(at, filepath.Base(from)), content, 0o600, w.give)
}

// keep takes the kept file out of a pod whose process has ended.
func (w *worker) keep() error {
	to := w.kept()
	if to == "" {
		return nil
	}
	for _, mount := range w.container.VolumeMounts {
		from := filepath.Join(w.jail.Root, filepath.FromSlash(mount.MountPath), filepath.Base(to))
		content, err := os.ReadFile(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = replace(to, content, 0o600, nobody)
		}
		if err != nil {
			return fmt.Errorf("keeping what the pod leaves: %w", err)
		}
	}
	return nil
}

// nobody gives a file to nobody else.
func nobody(string) error { return nil }
