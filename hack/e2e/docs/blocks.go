// Package docs proves the documentation: it runs the shell blocks of README and
// docs against the real system, checks the make targets they name, and compiles
// and runs the example programs.
package docs

import (
	"strings"
)

// block is one fenced block of a Markdown file.
type block struct {
	language string
	line     int
	text     string
}

// blocks returns the fenced blocks of a Markdown text, in order.
func blocks(markdown string) []block {
	var found []block
	var current *block
	for number, line := range strings.Split(markdown, "\n") {
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && current == nil:
			current = &block{language: strings.TrimSpace(language), line: number + 2}
		case fence:
			found = append(found, *current)
			current = nil
		case current != nil:
			current.text += line + "\n"
		}
	}
	return found
}

// inLanguage returns the blocks in one language.
func inLanguage(all []block, language string) []block {
	var found []block
	for _, candidate := range all {
		if candidate.language == language {
			found = append(found, candidate)
		}
	}
	return found
}
