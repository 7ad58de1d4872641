package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"syscall"
	"time"
)

// Record is what is kept on disk of a running process, so that another run of
// our program finds it.
type Record struct {
	Name string `json:"name"`
	Identity
	Path    string `json:"path"`
	LogPath string `json:"log"`
}

const recordSuffix = ".json"

func (r Record) file(directory string) string {
	return filepath.Join(directory, r.Name+recordSuffix)
}

func (r Record) write(directory string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the record of %s: %w", r.Name, err)
	}
	// Never half a record, whenever we are killed.
	temporary := r.file(directory) + ".new"
	if err := os.WriteFile(temporary, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the record of %s: %w", r.Name, err)
	}
	if err := os.Rename(temporary, r.file(directory)); err != nil {
		return fmt.Errorf("writing the record of %s: %w", r.Name, err)
	}
	return nil
}

func (r Record) remove(directory string) error {
	if err := os.Remove(r.file(directory)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the record of %s: %w", r.Name, err)
	}
	return nil
}

// ReadRecords reads the records in a directory, ordered by name. Processes
// that ended by themselves are among them: see Alive. A directory that doesn't
// exist holds none.
func ReadRecords(directory string) ([]Record, error) {
	files, err := filepath.Glob(filepath.Join(directory, "*"+recordSuffix))
	if err != nil {
		return nil, fmt.Errorf("listing records in %s: %w", directory, err)
	}
	sort.Strings(files)
	var records []Record
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading a record: %w", err)
		}
		var record Record
		if err := json.Unmarshal(data, &record); err != nil {
			return nil, fmt.Errorf("reading record %s: %w", file, err)
		}
		records = append(records, record)
	}
	return records, nil
}

// Stop ends the process of a record in the directory with SIGTERM, or SIGKILL
// when the context ends first, and removes the record. Whoever else has the
// pid by now is left alone.
func (r Record) Stop(ctx context.Context, directory string) (err error) {
	// The handle is taken before the identity is compared: it names this
	// process for ever, which the pid alone doesn't.
	handle, err := os.FindProcess(r.PID)
	if err != nil {
		return fmt.Errorf("finding %s, process %d: %w", r.Name, r.PID, err)
	}
	defer func() { err = errors.Join(err, handle.Release()) }()
	if !r.Alive() {
		return r.remove(directory)
	}
	signal := func(signal os.Signal) error {
		if err := handle.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("sending %v to %s, process %d: %w", signal, r.Name, r.PID, err)
		}
		return nil
	}
	if err := signal(syscall.SIGTERM); err != nil {
		return err
	}
	if r.waitGone(ctx) != nil {
		if err := signal(syscall.SIGKILL); err != nil {
			return err
		}
		killed, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := r.waitGone(killed); err != nil {
			return fmt.Errorf("%s, process %d, lives on after SIGKILL: %w", r.Name, r.PID, err)
		}
	}
	return r.remove(directory)
}

func (r Record) waitGone(ctx context.Context) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for r.Alive() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the end of process %d: %w", r.PID, ctx.Err())
		case <-ticker.C:
		}
	}
	return nil
}
