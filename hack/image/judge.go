package image

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// required are the labels that every image bears.
var required = []string{
	"org.opencontainers.image.title", "org.opencontainers.image.version", "org.opencontainers.image.description",
	"org.opencontainers.image.source", "org.opencontainers.image.licenses",
}

// Judge returns all that is wrong with the image that a file describes.
func (f *File) Judge() error {
	var problems []error
	problem := func(format string, arguments ...any) { problems = append(problems, fmt.Errorf(format, arguments...)) }
	names := map[string]bool{}
	for _, stage := range f.Stages {
		image, err := Expand(stage.From, f.Arguments)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if !names[image] && !pinned(image) {
			problem("FROM %s: the image bears no tag, or latest", image)
		}
		names[stage.Name] = true
		problems = append(problems, stage.undeclared()...)
	}
	last := f.Last()
	if _, err := last.Entrypoint(); err != nil {
		problems = append(problems, err)
	}
	if user, found := last.find("USER"); !found {
		problem("there is no USER: root runs it")
	} else if id, err := strconv.Atoi(user.Words[0]); err != nil || id == 0 {
		problem("USER %s is no number above 0: runAsNonRoot can't be checked", user.Words[0])
	}
	labels := last.Labels()
	for _, label := range required {
		if labels[label] == "" {
			problem("the label %s is missing", label)
		}
	}
	for _, instruction := range last.Instructions {
		switch instruction.Name {
		case "RUN":
			problem("line %d: RUN in the image itself: it needs a shell there", instruction.Line)
		case "COPY":
			if len(instruction.Words) != 2 || instruction.Flags["chmod"] == "" {
				problem("line %d: COPY wants --chmod, one source and one target", instruction.Line)
			}
			if from := instruction.Flags["from"]; from != "" && !names[from] {
				problem("line %d: COPY from %s, which is no stage", instruction.Line, from)
			}
		}
	}
	return errors.Join(problems...)
}

// pinned tells whether an image has a tag that says something.
func pinned(image string) bool {
	name := image[strings.LastIndexByte(image, '/')+1:]
	if strings.Contains(name, "@sha256:") {
		return true
	}
	_, tag, tagged := strings.Cut(name, ":")
	return tagged && tag != "" && tag != "latest"
}

// undeclared finds arguments that are used in a stage that does not declare them:
// they would be empty there.
func (s Stage) undeclared() []error {
	var problems []error
	declared := map[string]string{}
	for _, instruction := range s.Instructions {
		for _, word := range instruction.Words {
			if instruction.Name == "ARG" {
				name, value, _ := strings.Cut(word, "=")
				declared[name] = value
				continue
			}
			if _, err := Expand(word, declared); err != nil {
				problems = append(problems, fmt.Errorf("line %d: %w", instruction.Line, err))
			}
		}
	}
	return problems
}
