package process

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestRecordsFollowTheProcess(t *testing.T) {
	directory := t.TempDir()
	group := newGroup(t, GroupOptions{Records: directory})
	p := start(t, group, shell(t, obedient))

	records, err := ReadRecords(directory)
	if err != nil || len(records) != 1 {
		t.Fatalf("got records %v, error %v; want one", records, err)
	}
	if got := records[0]; got.Name != "shell" || got.PID != p.PID() || !got.Alive() || got.LogPath != p.LogPath() {
		t.Errorf("got record %+v of process %d", got, p.PID())
	}
	if _, err := p.Terminate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if records, err = ReadRecords(directory); err != nil || len(records) != 0 {
		t.Errorf("after the end: records %v, error %v; want none", records, err)
	}
}

func TestAnotherRunStopsAProcessByItsRecord(t *testing.T) {
	for name, script := range map[string]string{"that obeys": obedient, "that does not": stubborn} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			p := start(t, newGroup(t, GroupOptions{Records: directory}), shell(t, script))
			records, err := ReadRecords(directory)
			if err != nil || len(records) != 1 {
				t.Fatalf("got records %v, error %v; want one", records, err)
			}
			if err := records[0].Stop(shortContext(t), directory); err != nil {
				t.Fatal(err)
			}
			assertGone(t, p.PID())
			if records, err = ReadRecords(directory); err != nil || len(records) != 0 {
				t.Errorf("records %v, error %v stay; want none", records, err)
			}
		})
	}
}

// After a reboot, or long after, the pid of a record may belong to a process
// that has nothing to do with us.
func TestAPidThatWasGivenToAnotherIsStale(t *testing.T) {
	directory := t.TempDir()
	p := start(t, newGroup(t, GroupOptions{}), shell(t, obedient))
	now, err := identify(p.PID())
	if err != nil {
		t.Fatal(err)
	}
	boot, ticks, found := strings.Cut(now.Started, "/")
	if !found {
		t.Fatalf("the start %q names no boot", now.Started)
	}
	tests := map[string]Identity{
		"started at another time": {PID: p.PID(), Started: boot + "/1"},
		"started in another boot": {PID: p.PID(), Started: "00000000-0000-0000-0000-000000000000/" + ticks},
		"a pid that nobody has":   {PID: 1 << 22, Started: now.Started},
	}
	for name, identity := range tests {
		t.Run(name, func(t *testing.T) {
			stale := Record{Name: "stale", Identity: identity}
			if err := stale.write(directory); err != nil {
				t.Fatal(err)
			}
			if stale.Alive() {
				t.Error("it is taken for alive")
			}
			if err := stale.Stop(t.Context(), directory); err != nil {
				t.Fatal(err)
			}
			if !now.Alive() {
				t.Fatal("the innocent process was ended")
			}
			if _, err := os.Stat(filepath.Join(directory, "stale.json")); !os.IsNotExist(err) {
				t.Errorf("the stale record stays: %v", err)
			}
		})
	}
}

// A process that has ended, but whose parent has not waited for it, has a pid
// and runs no more.
func TestAZombieIsNotAlive(t *testing.T) {
	// The child ends when its parent is no shell any more, which would take note of it.
	p := start(t, newGroup(t, GroupOptions{}), shell(t, "sh -c 'until grep -q ^sleep /proc/$PPID/comm; do :; done' & echo hello $!; exec sleep 1000"))
	lines, err := Tail(p.LogPath(), 1)
	if err != nil || len(lines) != 1 {
		t.Fatalf("got lines %q, error %v; want one", lines, err)
	}
	child, err := strconv.Atoi(strings.TrimPrefix(lines[0], "hello "))
	if err != nil {
		t.Fatal(err)
	}
	assertGone(t, child)
	if err := syscall.Kill(child, 0); err != nil {
		t.Errorf("process %d is no zombie, so that nothing was shown: %v", child, err)
	}
}

func TestTail(t *testing.T) {
	long := strings.Repeat(strings.Repeat("x", 99)+"\n", 2000)
	tests := map[string]struct {
		content string
		lines   int
		want    []string
	}{
		"an empty log":            {"", 3, nil},
		"fewer lines than wanted": {"a\nb\n", 3, []string{"a", "b"}},
		"more lines than wanted":  {"a\nb\nc\nd\n", 2, []string{"c", "d"}},
		"a last line without end": {"a\nb", 1, []string{"b"}},
		"a long log":              {long + "end\n", 2, []string{strings.Repeat("x", 99), "end"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := Tail(path, test.lines)
			if err != nil || strings.Join(got, "|") != strings.Join(test.want, "|") {
				t.Errorf("got %q, error %v; want %q", got, err, test.want)
			}
		})
	}
}
