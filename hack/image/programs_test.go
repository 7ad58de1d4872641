package image

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ambient-code/ambient-kube/hack/process"
)

var programs = []string{"ambient-kube-apiserver", "ambient-kube-reconciler", "ambientd"}

// absolute is the path of something in the source tree.
func absolute(t *testing.T, elements ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(append([]string{repository}, elements...)...))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// What make builds for images says how it was built, and is the same wherever.
func TestProgramsAreStaticStrippedAndReproducible(t *testing.T) {
	for _, name := range programs {
		path := absolute(t, ".build", "bin", name)
		settings := buildSettings(t, path)
		for key, want := range map[string]string{"-trimpath": "true", "CGO_ENABLED": "0", "vcs": ""} {
			if settings[key] != want {
				t.Errorf("%s: %s is %q, want %q", name, key, settings[key], want)
			}
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(absolute(t)+"/")) {
			t.Errorf("%s holds the path of the source tree", name)
		}
		file, err := elf.NewFile(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range []string{".interp", ".symtab", ".debug_info", ".zdebug_info"} {
			if file.Section(section) != nil {
				t.Errorf("%s has the section %s: it is not static, or not stripped", name, section)
			}
		}
	}
}

// buildSettings returns what a program was built with.
func buildSettings(t *testing.T, path string) map[string]string {
	t.Helper()
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	return settings
}

// The race detector is for our own programs: the control plane and what stands for
// somebody else's server would only be slower with it.
func TestDecision31TwoSetsOfBuildFlags(t *testing.T) {
	const release, race = "", "true"
	for path, want := range map[string]string{
		"bin/ambient-kube-apiserver": release, "bin/ambient-kube-reconciler": release, "bin/kubectl-ambient": release, "bin/ambientd": release,
		"race/ambient-kube-apiserver": race, "race/ambient-kube-reconciler": race, "race/kubectl-ambient": race, "race/ambientd": release,
		"kube/etcd": release, "kube/kube-apiserver": release, "kube/kube-controller-manager": release, "kube/kubectl": release,
	} {
		settings := buildSettings(t, absolute(t, ".build", filepath.FromSlash(path)))
		cgo := "0"
		if want == race {
			cgo = "1"
		}
		if settings["-race"] != want || settings["CGO_ENABLED"] != cgo {
			t.Errorf("%s: -race is %q, want %q; CGO_ENABLED is %q, want %q", path, settings["-race"], want, settings["CGO_ENABLED"], cgo)
		}
		if settings["-tags"] != "grpcnotrace" || settings["-trimpath"] != "true" {
			t.Errorf("%s: built with -tags=%s -trimpath=%s", path, settings["-tags"], settings["-trimpath"])
		}
	}
}

// A program runs in the files of its image alone, as the image's user, who may write
// nothing there.
func TestProgramsRunInTheirImages(t *testing.T) {
	file, err := Read(filepath.Join(repository, "Dockerfile.prebuilt"))
	if err != nil {
		t.Fatal(err)
	}
	context, err := Context(t.TempDir(), absolute(t), absolute(t, ".build", "bin"), runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	group := process.NewGroup(process.GroupOptions{})
	defer func() {
		if err := group.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, name := range programs {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.Chmod(root, 0o755); err != nil {
				t.Fatal(err)
			}
			image, err := file.Layout(context, root, map[string]string{"PROGRAM": name, "TARGETARCH": runtime.GOARCH})
			if err != nil {
				t.Fatal(err)
			}
			nothingWritable(t, root)
			log := filepath.Join(t.TempDir(), "log")
			running, err := group.Start(t.Context(), process.Spec{
				Name: name, Path: image.Entrypoint[0], Args: []string{"--version"}, Directory: "/", LogFile: log,
				Jail: &process.Jail{Root: root, User: uint32(image.User)},
			})
			if err != nil {
				t.Fatal(err)
			}
			<-running.Exited()
			output, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(output), name+" version v") {
				t.Errorf("it printed %q", output)
			}
		})
	}
}

// nothingWritable checks that others than the owner, who is not the image's user,
// may write nothing.
func nothingWritable(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o022 != 0 {
			t.Errorf("%s is writable: %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// list asks go list about the programs, for a platform.
func list(t *testing.T, architecture, template string) []string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-e", "-deps", "-f", template, "./cmd/...")
	command.Dir = absolute(t)
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+architecture)
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(output))
}

// The Dockerfile copies every folder of ours that the programs are made of.
func TestTheDockerfileCopiesWhatIsBuilt(t *testing.T) {
	file, err := Read(filepath.Join(repository, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	copied := map[string]bool{}
	for _, instruction := range file.Stages[0].Instructions {
		if instruction.Name == "COPY" {
			for _, source := range instruction.Words[:len(instruction.Words)-1] {
				copied[strings.TrimSuffix(source, "/")] = true
			}
		}
	}
	const module = "github.com/ambient-code/ambient-kube/"
	needed := map[string]bool{"go.mod": true, "go.sum": true}
	for _, path := range list(t, runtime.GOARCH, "{{.ImportPath}}") {
		if inside, ours := strings.CutPrefix(path, module); ours {
			folder, _, _ := strings.Cut(inside, "/")
			needed[folder] = true
		}
	}
	ignored, err := os.ReadFile(filepath.Join(repository, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	for folder := range needed {
		if !copied[folder] {
			t.Errorf("%s is not copied", folder)
		}
		if !strings.Contains(string(ignored), "\n!"+folder+"\n") {
			t.Errorf("the builder does not see %s", folder)
		}
	}
}

// Every package that the programs need has files for each platform.
func TestTheProgramsAreMadeForOtherPlatforms(t *testing.T) {
	for _, architecture := range []string{"amd64", "arm64"} {
		if problems := list(t, architecture, "{{with .Error}}{{.Err}}{{end}}"); len(problems) > 0 {
			t.Errorf("%s: %s", architecture, strings.Join(problems, " "))
		}
	}
}
