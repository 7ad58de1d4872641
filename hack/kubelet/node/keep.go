package node

import (
	"errors"
	"fmt"
	"io"
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
	to := filepath.Join(at, filepath.Base(from))
	if err := copyFile(from, to); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("bringing what is kept: %w", err)
	}
	return w.give(to)
}

// keep takes the kept file out of a pod whose process has ended.
func (w *worker) keep() error {
	to := w.kept()
	if to == "" {
		return nil
	}
	for _, mount := range w.container.VolumeMounts {
		from := filepath.Join(w.jail.Root, filepath.FromSlash(mount.MountPath), filepath.Base(to))
		err := copyFile(from, to)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("keeping what the pod leaves: %w", err)
		}
	}
	return nil
}

// copyFile makes one file like another, at once.
func copyFile(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("reading a file: %w", err)
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	fresh := to + ".new"
	target, err := os.OpenFile(fresh, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("writing a file: %w", err)
	}
	if _, err := io.Copy(target, source); err != nil {
		return errors.Join(fmt.Errorf("copying a file: %w", err), target.Close())
	}
	if err := errors.Join(target.Sync(), target.Close()); err != nil {
		return fmt.Errorf("writing a file: %w", err)
	}
	if err := os.Rename(fresh, to); err != nil {
		return fmt.Errorf("putting a file in its place: %w", err)
	}
	return nil
}
