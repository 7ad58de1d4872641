// Command licences prints docs/licences.md: under which licence each module stands that
// is compiled into our programs. It fails if one has none that we know and may use.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// licence is one that may be in our programs, known by what stands in no other.
type licence struct {
	name string
	all  []string
}

// known are in an order in which the first that fits is right.
var known = []licence{
	{"Apache-2.0", []string{"Apache License", "Version 2.0"}},
	{"MPL-2.0", []string{"Mozilla Public License", "2.0"}},
	{"MIT", []string{"Permission is hereby granted, free of charge", "without restriction"}},
	{"BSD-3-Clause", []string{"Redistribution and use in source and binary forms", "endorse or promote products"}},
	{"BSD-2-Clause", []string{"Redistribution and use in source and binary forms"}},
	{"ISC", []string{"Permission to use, copy, modify, and/or distribute this software for any purpose"}},
}

// classify returns the name of the licence with the text; empty if it is unknown.
func classify(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	for _, l := range known {
		if !slices.ContainsFunc(l.all, func(mark string) bool { return !strings.Contains(text, mark) }) {
			return l.name
		}
	}
	return ""
}

// module is one that our programs are made of.
type module struct{ path, version, licence string }

// read returns the licences of a module that lies in the folder.
func read(folder string) (string, error) {
	var names []string
	for _, pattern := range []string{"LICENSE*", "LICENCE*", "COPYING*", "License*"} {
		files, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			return "", fmt.Errorf("looking for a licence in %s: %w", folder, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return "", fmt.Errorf("reading a licence: %w", err)
			}
			if name := classify(string(text)); name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", "), nil
}

func modules() ([]module, error) {
	command := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}", "./cmd/...")
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("listing what our programs are made of: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	slices.Sort(lines)
	var all []module
	for _, line := range slices.Compact(lines) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("go list says %q", line)
		}
		name, err := read(fields[2])
		if err != nil {
			return nil, err
		}
		if name == "" {
			return nil, fmt.Errorf("module %s has no licence that is known here", fields[0])
		}
		all = append(all, module{fields[0], fields[1], name})
	}
	return all, nil
}

func write(to io.Writer) error {
	all, err := modules()
	if err != nil {
		return err
	}
	var page bytes.Buffer
	page.WriteString("# Licences\n\n<!-- Made by make generate from the modules themselves. -->\n\nOur own is in [LICENSE](../LICENSE). These modules are compiled into our programs:\n\n| Module | Version | Licence |\n|---|---|---|\n")
	for _, m := range all {
		fmt.Fprintf(&page, "| `%s` | %s | %s |\n", m.path, m.version, m.licence)
	}
	if _, err := page.WriteTo(to); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

func main() {
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}
