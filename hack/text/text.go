// Package text judges the files of the repository as texts: how their lines and they
// themselves end, and by which path Go files import us. Its test judges all of them.
package text

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"path"
	"strconv"
	"strings"
)

// Judge returns what is wrong with a file, whose name is relative to the root of the
// repository, in which the main module has the path.
func Judge(module, name string, content []byte) []string {
	if len(content) == 0 || bytes.IndexByte(content, 0) >= 0 {
		return nil
	}
	var faults []string
	for i, line := range strings.Split(string(content), "\n") {
		if strings.TrimRight(line, " \t\r") != line {
			faults = append(faults, fmt.Sprintf("line %d ends with white space", i+1))
		}
	}
	if content[len(content)-1] != '\n' || bytes.HasSuffix(content, []byte("\n\n")) {
		faults = append(faults, "it does not end with exactly one new line")
	}
	switch {
	case strings.HasSuffix(name, ".go"):
		faults = append(faults, imports(module, name, content)...)
	case path.Base(name) == "go.mod":
		faults = append(faults, declaration(module, name, content)...)
	}
	return faults
}

// imports complains of imports of us by another path than the module's.
func imports(module, name string, content []byte) []string {
	file, err := parser.ParseFile(token.NewFileSet(), name, content, parser.ImportsOnly)
	if err != nil {
		return []string{err.Error()}
	}
	var faults []string
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return append(faults, err.Error())
		}
		if imported != module && !strings.HasPrefix(imported, module+"/") && strings.Contains(imported+"/", "/"+path.Base(module)+"/") {
			faults = append(faults, "it imports "+imported+", which is not of module "+module)
		}
	}
	return faults
}

// declaration complains of a module that is not named after its folder.
func declaration(module, name string, content []byte) []string {
	want := path.Join(module, path.Dir(name))
	for line := range strings.Lines(string(content)) {
		if declared, isModule := strings.CutPrefix(strings.TrimSpace(line), "module "); isModule {
			if declared != want {
				return []string{"the module is " + declared + ", want " + want}
			}
			return nil
		}
	}
	return []string{"it declares no module"}
}
