package stack

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/ambient-code/ambient-kube/certs"
)

const module = "module github.com/ambient-code/ambient-kube\n"

// Repository returns the root of the source tree that holds the working
// directory.
func Repository() (string, error) {
	working, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the source tree: %w", err)
	}
	for directory := working; ; directory = filepath.Dir(directory) {
		data, err := os.ReadFile(filepath.Join(directory, "go.mod"))
		if err == nil && bytes.Contains(data, []byte(module)) {
			return directory, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("finding the source tree: %w", err)
		}
		if directory == filepath.Dir(directory) {
			return "", fmt.Errorf("finding the source tree: %s lies outside of it", working)
		}
	}
}

// complete fills in the defaults and makes paths absolute.
func (o *Options) complete() error {
	if o.Repository == "" {
		repository, err := Repository()
		if err != nil {
			return err
		}
		o.Repository = repository
	}
	o.Binaries = cmp.Or(o.Binaries, os.Getenv("AMBIENT_KUBE_BINARIES"), filepath.Join(o.Repository, ".build", "bin"))
	o.ControlPlaneBinaries = cmp.Or(o.ControlPlaneBinaries, os.Getenv("AMBIENT_KUBE_CONTROL_PLANE"), filepath.Join(o.Repository, ".build", "kube"))
	for _, path := range []*string{&o.Directory, &o.Repository, &o.Binaries, &o.ControlPlaneBinaries} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("finding %s: %w", *path, err)
		}
		*path = absolute
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return nil
}

func (o *Options) with(name string) bool { return !slices.Contains(o.Without, name) }

// files names what the stack keeps in its directory.
type files struct{ directory, logs, token string }

func (f files) records() string      { return RecordsDirectory(f.directory) }
func (f files) registration() string { return filepath.Join(f.directory, "registration") }
func (f files) data() string         { return filepath.Join(f.directory, "upstream.db") }

func (f files) log(name string) string { return filepath.Join(f.logs, name+".log") }

func (f files) kubeconfig(account string) string {
	return filepath.Join(f.directory, account+".kubeconfig")
}

func (f files) certificate(program string) string {
	return filepath.Join(f.directory, "pki", program, "tls.crt")
}

func (f files) key(program string) string {
	return filepath.Join(f.directory, "pki", program, "tls.key")
}

// replacePair replaces certificate and key of a program at once, as a kubelet
// does: both are links through a link to a directory, and that is replaced.
func (f files) replacePair(program string, pair *certs.Pair) error {
	folder, err := os.MkdirTemp(filepath.Join(f.directory, "pki"), program+"-")
	if err != nil {
		return fmt.Errorf("making a directory for the certificate of %s: %w", program, err)
	}
	for name, data := range map[string][]byte{"tls.crt": pair.CertificatePEM, "tls.key": pair.KeyPEM} {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			return fmt.Errorf("keeping the certificate of %s: %w", program, err)
		}
	}
	current := filepath.Join(f.directory, "pki", program)
	former, err := os.Readlink(current)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("finding the certificate of %s: %w", program, err)
	}
	if err := os.Symlink(folder, folder+".link"); err != nil {
		return fmt.Errorf("replacing the certificate of %s: %w", program, err)
	}
	if err := os.Rename(folder+".link", current); err != nil {
		return fmt.Errorf("replacing the certificate of %s: %w", program, err)
	}
	if former == "" {
		return nil
	}
	if err := os.RemoveAll(former); err != nil {
		return fmt.Errorf("removing the former certificate of %s: %w", program, err)
	}
	return nil
}

// RecordsDirectory is where a stack in the directory keeps the records of its
// processes: see process.ReadRecords.
func RecordsDirectory(directory string) string { return filepath.Join(directory, "processes") }

// ensureToken keeps the upstream's token from run to run.
func (f files) ensureToken() error {
	if _, err := os.Stat(f.token); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for the upstream's token: %w", err)
	}
	secret := make([]byte, 20)
	rand.Read(secret) // never fails
	if err := os.WriteFile(f.token, []byte(hex.EncodeToString(secret)+"\n"), 0o600); err != nil {
		return fmt.Errorf("keeping the upstream's token: %w", err)
	}
	return nil
}
