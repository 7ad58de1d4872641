package image

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const good = `# An image.
ARG BASE=registry.example/base:1.2
FROM ${BASE}
ARG PROGRAM
LABEL org.opencontainers.image.title="${PROGRAM}"
LABEL org.opencontainers.image.version="1"
LABEL org.opencontainers.image.description="d"
LABEL org.opencontainers.image.source="s"
LABEL org.opencontainers.image.licenses="l"
COPY --chmod=0555 \
  ${PROGRAM} /program
USER 1001
ENTRYPOINT ["/program", "--serve"]
`

func TestWhatAnImageOfOursMustBe(t *testing.T) {
	for name, test := range map[string]struct{ old, new, want string }{
		"a good one":                     {"", "", ""},
		"a base without a tag":           {"base:1.2", "base", "no tag"},
		"the latest base":                {"base:1.2", "base:latest", "latest"},
		"a base by its digest":           {"base:1.2", "base@sha256:abc", ""},
		"a registry's port is no tag":    {"registry.example/base:1.2", "registry.example:5000/base", "no tag"},
		"no user":                        {"USER 1001\n", "", "root runs it"},
		"a user by name":                 {"USER 1001", "USER somebody", "runAsNonRoot"},
		"root":                           {"USER 1001", "USER 0", "runAsNonRoot"},
		"no entrypoint":                  {`ENTRYPOINT ["/program", "--serve"]`, "", "no ENTRYPOINT"},
		"an entrypoint for a shell":      {`["/program", "--serve"]`, "/program --serve", "needs a shell"},
		"an entrypoint from the path":    {`["/program"`, `["program"`, "depends on PATH"},
		"a missing label":                {"LABEL org.opencontainers.image.licenses=\"l\"\n", "", "image.licenses is missing"},
		"a command in the image":         {"USER 1001", "RUN true\nUSER 1001", "needs a shell"},
		"a copy with the builder's mode": {"--chmod=0555 ", "", "--chmod"},
		"a copy from nowhere":            {"--chmod=0555", "--chmod=0555 --from=other", "no stage"},
		"an argument that is not passed": {"ARG PROGRAM\n", "", "nobody says what PROGRAM is"},
		"an instruction that fetches":    {"COPY", "ADD", "ADD is no instruction"},
		"a line that never ends":         {`["/program", "--serve"]`, `["/program"] \`, "is continued"},
		"something before the base":      {"ARG BASE", "USER 1\nARG BASE", "before the first FROM"},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := Parse(strings.Replace(good, test.old, test.new, 1))
			if err == nil {
				err = file.Judge()
			}
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestLayout(t *testing.T) {
	file, err := Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	context, root := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(context, "tool"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	image, err := file.Layout(context, root, map[string]string{"PROGRAM": "tool"})
	if err != nil {
		t.Fatal(err)
	}
	if image.User != 1001 || strings.Join(image.Entrypoint, " ") != "/program --serve" {
		t.Errorf("got %+v", image)
	}
	if info, err := os.Stat(filepath.Join(root, "program")); err != nil || info.Mode().Perm() != 0o555 {
		t.Errorf("the program: %v, %v", info, err)
	}
	if _, err := file.Layout(context, t.TempDir(), nil); err == nil {
		t.Error("an image of no program was laid out")
	}
}

const repository = "../.."

func TestOurDockerfiles(t *testing.T) {
	for _, name := range []string{"Dockerfile", "Dockerfile.prebuilt"} {
		file, err := Read(filepath.Join(repository, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Judge(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// assignment returns what the Makefile says of a variable, continued lines joined.
func assignment(t *testing.T, makefile, variable string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^(?:export )?` + variable + ` := ((?:.*\\\n)*.*)$`).FindStringSubmatch(makefile)
	if found == nil {
		t.Fatalf("the Makefile says nothing of %s", variable)
	}
	return found[1]
}

// An image that is built from source holds what make builds, by the Go that go.mod
// asks for.
func TestTheDockerfileBuildsAsMakeDoes(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(repository, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	makefile, dockerfile := read("Makefile"), read("Dockerfile")
	for _, variable := range []string{"GOFLAGS", "LDFLAGS"} {
		for _, word := range strings.Fields(assignment(t, makefile, variable)) {
			word = strings.ReplaceAll(word, "$(VERSION)", "${VERSION}")
			if word != `\` && !strings.Contains(dockerfile, word) {
				t.Errorf("the Dockerfile builds without %s", word)
			}
		}
	}
	if !strings.Contains(dockerfile, "CGO_ENABLED=0 ") {
		t.Error("the Dockerfile builds programs that need a C library")
	}
	language := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read("go.mod"))
	if language == nil || !strings.Contains(dockerfile, "/go-toolset:"+language[1]+"\n") {
		t.Errorf("the Dockerfile does not build by Go %v", language)
	}
}
