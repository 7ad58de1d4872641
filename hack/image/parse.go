package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// Instruction is one instruction of a Dockerfile.
type Instruction struct {
	// Line is where it begins, counted from 1.
	Line int
	// Name is in capitals.
	Name string
	// Flags are the words that begin with --, without that, and their values.
	Flags map[string]string
	// Words are the rest, split at spaces; for LABEL, ENTRYPOINT, CMD and RUN the
	// rest is one word.
	Words []string
}

// known are the instructions that may occur. ADD, which fetches and unpacks, is
// none of them, nor is anything that makes an image depend on a shell.
var known = []string{"ARG", "FROM", "RUN", "COPY", "USER", "WORKDIR", "LABEL", "ENTRYPOINT", "ENV"}

// whole are the instructions whose text is not split.
var whole = []string{"RUN", "LABEL", "ENTRYPOINT", "ENV"}

// Stage is what follows one FROM.
type Stage struct {
	// From is the image or stage that it is based on, Name what it is called.
	From, Name   string
	Instructions []Instruction
}

// File is a Dockerfile.
type File struct {
	// Arguments are those before the first stage, with their defaults.
	Arguments map[string]string
	Stages    []Stage
}

// Parse reads a Dockerfile. Every instruction that it does not know is an error.
func Parse(text string) (*File, error) {
	file := &File{Arguments: map[string]string{}}
	for instruction, err := range instructions(text) {
		if err != nil {
			return nil, err
		}
		if err := file.add(instruction); err != nil {
			return nil, fmt.Errorf("line %d: %w", instruction.Line, err)
		}
	}
	if len(file.Stages) == 0 {
		return nil, errors.New("there is no FROM")
	}
	return file, nil
}

// Read is Parse of a file.
func Read(name string) (*File, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading a Dockerfile: %w", err)
	}
	file, err := Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return file, nil
}

// Last is the stage that becomes the image.
func (f *File) Last() Stage { return f.Stages[len(f.Stages)-1] }

func (f *File) add(instruction Instruction) error {
	switch {
	case instruction.Name == "FROM":
		stage := Stage{}
		switch words := instruction.Words; {
		case len(words) == 1:
			stage.From = words[0]
		case len(words) == 3 && strings.EqualFold(words[1], "AS"):
			stage.From, stage.Name = words[0], words[2]
		default:
			return fmt.Errorf("FROM %s: want IMAGE [AS NAME]", strings.Join(words, " "))
		}
		f.Stages = append(f.Stages, stage)
	case len(f.Stages) > 0:
		last := &f.Stages[len(f.Stages)-1]
		last.Instructions = append(last.Instructions, instruction)
	case instruction.Name == "ARG" && len(instruction.Words) == 1:
		name, value, _ := strings.Cut(instruction.Words[0], "=")
		f.Arguments[name] = value
	default:
		return fmt.Errorf("%s stands before the first FROM", instruction.Name)
	}
	return nil
}

// instructions yields the instructions of a text, with continued lines joined.
func instructions(text string) func(func(Instruction, error) bool) {
	return func(yield func(Instruction, error) bool) {
		joined, begun := "", 0
		for number, line := range strings.Split(text, "\n") {
			if trimmed := strings.TrimSpace(line); trimmed == "" || strings.HasPrefix(trimmed, "#") {
				continue
			}
			if joined == "" {
				begun = number + 1
			}
			text, continued := strings.CutSuffix(strings.TrimRight(line, " \t"), "\\")
			joined += text
			if continued {
				continue
			}
			instruction, err := parseInstruction(begun, joined)
			joined = ""
			if !yield(instruction, err) || err != nil {
				return
			}
		}
		if joined != "" {
			yield(Instruction{}, fmt.Errorf("line %d: the last line is continued", begun))
		}
	}
}

func parseInstruction(line int, text string) (Instruction, error) {
	name, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	instruction := Instruction{Line: line, Name: strings.ToUpper(name), Flags: map[string]string{}}
	if !slices.Contains(known, instruction.Name) {
		return instruction, fmt.Errorf("line %d: %s is no instruction that is used here", line, name)
	}
	rest = strings.TrimSpace(rest)
	for strings.HasPrefix(rest, "--") {
		var flag string
		flag, rest, _ = strings.Cut(rest, " ")
		key, value, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
		instruction.Flags[key] = value
		rest = strings.TrimSpace(rest)
	}
	if rest == "" {
		return instruction, fmt.Errorf("line %d: %s says nothing", line, name)
	}
	if slices.Contains(whole, instruction.Name) {
		instruction.Words = []string{rest}
	} else {
		instruction.Words = strings.Fields(rest)
	}
	return instruction, nil
}

// find returns the last instruction of a name.
func (s Stage) find(name string) (Instruction, bool) {
	for i := len(s.Instructions) - 1; i >= 0; i-- {
		if s.Instructions[i].Name == name {
			return s.Instructions[i], true
		}
	}
	return Instruction{}, false
}

// Entrypoint is what is run. A text that a shell would have to read is an error.
func (s Stage) Entrypoint() ([]string, error) {
	instruction, found := s.find("ENTRYPOINT")
	if !found {
		return nil, errors.New("there is no ENTRYPOINT")
	}
	var words []string
	if err := json.Unmarshal([]byte(instruction.Words[0]), &words); err != nil || len(words) == 0 {
		return nil, fmt.Errorf("ENTRYPOINT %s is no list of words: it needs a shell", instruction.Words[0])
	}
	if !path.IsAbs(words[0]) {
		return nil, fmt.Errorf("ENTRYPOINT %s depends on PATH", words[0])
	}
	return words, nil
}

// Labels returns the labels, by key.
func (s Stage) Labels() map[string]string {
	labels := map[string]string{}
	for _, instruction := range s.Instructions {
		if instruction.Name == "LABEL" {
			key, value, _ := strings.Cut(instruction.Words[0], "=")
			labels[key] = strings.Trim(value, `"`)
		}
	}
	return labels
}

// Expand replaces ${NAME} by the arguments. What is not known is an error.
func Expand(text string, arguments map[string]string) (string, error) {
	var missing []string
	expanded := os.Expand(text, func(name string) string {
		value, given := arguments[name]
		if !given {
			missing = append(missing, name)
		}
		return value
	})
	if len(missing) > 0 {
		return "", fmt.Errorf("%s: nobody says what %s is", text, strings.Join(missing, ", "))
	}
	return expanded, nil
}
