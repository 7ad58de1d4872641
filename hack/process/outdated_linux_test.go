package process

import (
	"os"
	"testing"
)

func TestAProgramThatWasReplacedIsOutdated(t *testing.T) {
	directory := t.TempDir()
	spec := shell(t, obedient)
	content, err := os.ReadFile(spec.Path)
	if err != nil {
		t.Fatal(err)
	}
	spec.Path = directory + "/program"
	replace := func(content []byte) {
		t.Helper()
		if err := os.Remove(spec.Path); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err := os.WriteFile(spec.Path, content, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	replace(content)
	start(t, newGroup(t, GroupOptions{Records: directory}), spec)
	records, err := ReadRecords(directory)
	if err != nil || len(records) != 1 {
		t.Fatalf("records %v, %v; want one", records, err)
	}
	expect := func(why string, want bool) {
		t.Helper()
		if outdated, err := records[0].Outdated(); err != nil || outdated != want {
			t.Errorf("%s: %t, %v; want %t", why, outdated, err, want)
		}
	}
	expect("as it was started", false)
	replace(content)
	expect("built again from the same source", false)
	changed := append([]byte(nil), content...)
	changed[len(changed)-1]++
	replace(changed)
	expect("built from another source", true)
	replace(append(content, 0))
	expect("longer", true)
	if err := os.Remove(spec.Path); err != nil {
		t.Fatal(err)
	}
	expect("gone", false)
}
