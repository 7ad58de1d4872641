package image

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Image is what was laid out.
type Image struct {
	// Root is the folder that a process sees as /.
	Root string
	// Entrypoint is what is run, as seen from there, by the user with the number User.
	Entrypoint []string
	User       int
}

// Layout puts the files of the last stage, which must all come from the folder
// context, below root. The arguments are those of a build.
func (f *File) Layout(context, root string, arguments map[string]string) (*Image, error) {
	last := f.Last()
	entrypoint, err := last.Entrypoint()
	if err != nil {
		return nil, err
	}
	image := &Image{Root: root, Entrypoint: entrypoint}
	known := map[string]string{}
	for _, instruction := range last.Instructions {
		switch instruction.Name {
		case "ARG":
			name, value, _ := strings.Cut(instruction.Words[0], "=")
			known[name] = value
			if given, ok := arguments[name]; ok {
				known[name] = given
			}
		case "USER":
			if image.User, err = strconv.Atoi(instruction.Words[0]); err != nil {
				return nil, fmt.Errorf("line %d: %w", instruction.Line, err)
			}
		case "COPY":
			if err := instruction.copy(context, root, known); err != nil {
				return nil, fmt.Errorf("line %d: %w", instruction.Line, err)
			}
		}
	}
	return image, nil
}

func (i Instruction) copy(context, root string, arguments map[string]string) error {
	if from := i.Flags["from"]; from != "" {
		return fmt.Errorf("the files of stage %s are not known without building it", from)
	}
	if len(i.Words) != 2 {
		return fmt.Errorf("COPY %s: want one source and one target", strings.Join(i.Words, " "))
	}
	source, err := Expand(i.Words[0], maps.Clone(arguments))
	if err != nil {
		return err
	}
	mode, err := strconv.ParseUint(i.Flags["chmod"], 8, 32)
	if err != nil {
		return fmt.Errorf("--chmod=%s: %w", i.Flags["chmod"], err)
	}
	target := filepath.Join(root, filepath.FromSlash(i.Words[1]))
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return fmt.Errorf("making a folder of the image: %w", err)
	}
	return copyFile(filepath.Join(context, filepath.FromSlash(source)), target, os.FileMode(mode))
}

func copyFile(source, target string, mode os.FileMode) (err error) {
	from, err := os.Open(source)
	if err != nil {
		return fmt.Errorf("copying into the image: %w", err)
	}
	// It was only read.
	defer func() { _ = from.Close() }()
	to, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("copying into the image: %w", err)
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Chmod(mode), to.Close()); err != nil {
		return fmt.Errorf("copying %s into the image: %w", source, err)
	}
	return nil
}

// Context makes the folder that Dockerfile.prebuilt builds from, out of the source
// tree and of a folder that holds programs for this machine.
func Context(folder, repository, binaries, architecture string) (string, error) {
	dist := filepath.Join(folder, ".build", "dist")
	if err := os.MkdirAll(dist, 0o755); err != nil {
		return "", fmt.Errorf("making a build's context: %w", err)
	}
	for link, target := range map[string]string{
		filepath.Join(folder, "LICENSE"):           filepath.Join(repository, "LICENSE"),
		filepath.Join(dist, "linux-"+architecture): binaries,
	} {
		if err := os.Symlink(target, link); err != nil {
			return "", fmt.Errorf("making a build's context: %w", err)
		}
	}
	return folder, nil
}
