package ports

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func open(t *testing.T, file string) *Book {
	t.Helper()
	book, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	return book
}

func free(t *testing.T, book *Book, name string) int {
	t.Helper()
	port, err := book.Free(name)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestPortsAreRememberedUnlessTaken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ports.json")
	first := free(t, open(t, file), "api")
	if again := free(t, open(t, file), "api"); again != first {
		t.Fatalf("a later run got port %d, the first %d", again, first)
	}
	listener, err := net.Listen("tcp4", Address(first))
	if err != nil {
		t.Fatal(err)
	}
	moved := free(t, open(t, file), "api")
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if moved == first {
		t.Errorf("port %d was given though another listens there", first)
	}
	if later := free(t, open(t, file), "api"); later != moved {
		t.Errorf("the new port %d was not remembered: got %d", moved, later)
	}
}

func TestNamesNeverShareAPort(t *testing.T) {
	book, seen := open(t, filepath.Join(t.TempDir(), "ports.json")), map[int]string{}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		port := free(t, book, name)
		if other, found := seen[port]; found {
			t.Errorf("%s and %s share port %d", name, other, port)
		}
		seen[port] = name
	}
}

// What one process has chosen is free until its program listens: no other may choose it.
func TestProcessesChooseFromRangesOfTheirOwn(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "ranges")
	first, firstLock, err := takeRange(folder)
	if err != nil {
		t.Fatal(err)
	}
	second, secondLock, err := takeRange(folder)
	if err != nil {
		t.Fatal(err)
	}
	if second < first+rangeSize && first < second+rangeSize {
		t.Errorf("both ranges hold port %d", max(first, second))
	}
	if err := firstLock.Close(); err != nil {
		t.Fatal(err)
	}
	again, thirdLock, err := takeRange(folder)
	if err != nil {
		t.Fatal(err)
	}
	if again != first {
		t.Errorf("the range from %d is free again, but got the one from %d", first, again)
	}
	for _, lock := range []*os.File{secondLock, thirdLock} {
		if err := lock.Close(); err != nil {
			t.Fatal(err)
		}
	}
	port := free(t, open(t, filepath.Join(t.TempDir(), "ports.json")), "api")
	if own, err := processRange(); err != nil || port < own || port >= own+rangeSize {
		t.Errorf("port %d is not of the process's range from %d, %v", port, own, err)
	}
}
