package store

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func open1(t *testing.T, path string) *Database {
	t.Helper()
	database, err := Open(t.Context(), path, 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := database.Close(); err != nil {
			t.Error(err)
		}
	})
	return database
}

func newDatabase(t *testing.T) *Database {
	t.Helper()
	return open1(t, filepath.Join(t.TempDir(), "data"))
}

func session(id string) *Session {
	now := Time{time.Unix(1_700_000_000, 0)}
	return &Session{Metadata: Metadata{ID: id, CreatedAt: now, UpdatedAt: now}, Name: "name of " + id}
}

func insert(t *testing.T, database *Database, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := database.Sessions.Insert(t.Context(), session(id)); err != nil {
			t.Fatal(err)
		}
	}
}

func order(t *testing.T, database *Database, order Order) []string {
	t.Helper()
	rows, total, err := database.Sessions.List(t.Context(), order, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if total != len(rows) {
		t.Errorf("total = %d with %d rows", total, len(rows))
	}
	var ids []string
	for _, row := range rows {
		ids = append(ids, row.ID)
	}
	return ids
}

func TestTimesAreRoundedToMicroseconds(t *testing.T) {
	database := newDatabase(t)
	for _, test := range []struct{ given, stored int64 }{{1_499, 1_000}, {1_501, 2_000}, {999_999_700, 1_000_000_000}} {
		row := session("s")
		row.UpdatedAt = Time{time.Unix(1_700_000_000, test.given)}
		row.StartTime = &Time{time.Unix(1_700_000_000, test.given)}
		if err := database.Sessions.Save(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		got, err := database.Sessions.Get(t.Context(), "s")
		if err != nil {
			t.Fatal(err)
		}
		want := time.Unix(1_700_000_000, test.stored)
		if !got.UpdatedAt.Equal(want) || !got.StartTime.Equal(want) {
			t.Errorf("%d ns were stored as %s and %s", test.given, got.UpdatedAt, got.StartTime)
		}
	}
}

func TestASavedRowMovesToTheEndAndAReadOneDoesNot(t *testing.T) {
	database := newDatabase(t)
	insert(t, database, "a", "b", "c")
	row, err := database.Sessions.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if got := order(t, database, Heap); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("the order is %v", got)
	}
	if err := database.Sessions.Save(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if got := order(t, database, Heap); !slices.Equal(got, []string{"b", "c", "a"}) {
		t.Errorf("the order is %v", got)
	}
}

func TestShuffledPagesHoldTheSameRowsInAnotherOrder(t *testing.T) {
	database := newDatabase(t)
	ids := strings.Split("abcdefghijklmnopqrst", "")
	insert(t, database, ids...)
	first, second := order(t, database, Shuffled), order(t, database, Shuffled)
	if slices.Equal(first, second) {
		t.Error("two pages have the same order")
	}
	if slices.Sort(first); !slices.Equal(first, ids) {
		t.Errorf("a page holds %v", first)
	}
}

func TestSavingADeletedRowRevivesIt(t *testing.T) {
	database := newDatabase(t)
	insert(t, database, "s")
	row, err := database.Sessions.Get(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	if err := database.Sessions.Delete(t.Context(), "s", Time{time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := database.Sessions.Get(t.Context(), "s"); !errors.Is(err, ErrNotFound) {
		t.Errorf("reading a deleted row: %v", err)
	}
	if got := order(t, database, Heap); len(got) != 0 {
		t.Errorf("the list holds %v", got)
	}
	if err := database.Sessions.Save(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if got := order(t, database, Heap); !slices.Equal(got, []string{"s"}) {
		t.Errorf("the list holds %v", got)
	}
}

func TestWhatTheDatabaseRefuses(t *testing.T) {
	database := newDatabase(t)
	insert(t, database, "s")
	now := Time{time.Now()}
	project := func(id, name string) *Project {
		return &Project{Metadata: Metadata{ID: id, CreatedAt: now, UpdatedAt: now}, Name: name}
	}
	if err := database.Projects.Insert(t.Context(), project("deleted", "deleted")); err != nil {
		t.Fatal(err)
	}
	if err := database.Projects.Delete(t.Context(), "deleted", now); err != nil {
		t.Fatal(err)
	}
	if err := database.Projects.Insert(t.Context(), project("live", "live")); err != nil {
		t.Fatal(err)
	}
	missing, zero := "missing", "a\x00b"
	for _, test := range []struct {
		name  string
		write func() error
		want  error
	}{
		{"the name of a deleted project", func() error { return database.Projects.Insert(t.Context(), project("new", "deleted")) }, ErrExists},
		{"a rename to a name in use", func() error { return database.Projects.Save(t.Context(), project("live", "deleted")) }, ErrExists},
		{"an id in use", func() error { return database.Sessions.Insert(t.Context(), session("s")) }, ErrExists},
		{"settings of an unknown project", func() error {
			return database.ProjectSettings.Insert(t.Context(), &ProjectSettings{Metadata: Metadata{ID: "p", CreatedAt: now, UpdatedAt: now}, ProjectID: missing})
		}, ErrReference},
		{"an unknown parent", func() error {
			row := session("child")
			row.ParentSessionID = &missing
			return database.Sessions.Insert(t.Context(), row)
		}, ErrReference},
		{"a NUL byte in a required text", func() error {
			row := session("child")
			row.Name = zero
			return database.Sessions.Insert(t.Context(), row)
		}, ErrText},
		{"a NUL byte in an optional text", func() error {
			row := session("s")
			row.Prompt = &zero
			return database.Sessions.Save(t.Context(), row)
		}, ErrText},
		{"a message of an unknown session", func() error {
			return database.Messages.Insert(t.Context(), &Message{ID: "m", SessionID: missing})
		}, ErrReference},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := test.write(); !errors.Is(err, test.want) {
				t.Errorf("error = %v, want %v", err, test.want)
			}
		})
	}
}

func TestSettingsOfADeletedProjectAreAccepted(t *testing.T) {
	database := newDatabase(t)
	now := Time{time.Now()}
	if err := errors.Join(
		database.Projects.Insert(t.Context(), &Project{Metadata: Metadata{ID: "p", CreatedAt: now, UpdatedAt: now}, Name: "p"}),
		database.Projects.Delete(t.Context(), "p", now),
		database.ProjectSettings.Insert(t.Context(), &ProjectSettings{Metadata: Metadata{ID: "s", CreatedAt: now, UpdatedAt: now}, ProjectID: "p"}),
	); err != nil {
		t.Error(err)
	}
}

func TestRowsSurviveClosingInFilesOfAnyName(t *testing.T) {
	for _, name := range []string{"data.db", "with space", "50%?x=#1"} {
		path := filepath.Join(t.TempDir(), name)
		first, err := Open(t.Context(), path, 10)
		if err != nil {
			t.Fatal(err)
		}
		insert(t, first, "s")
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if got := order(t, open1(t, path), Heap); !slices.Equal(got, []string{"s"}) {
			t.Errorf("%s holds %v", name, got)
		}
	}
}

func TestAFileOfANewerVersionIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	newer, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newer.ExecContext(t.Context(), "PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, 10); err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Errorf("error = %v", err)
	}
}

func TestStatementsWaitForAConnectionUntilTheirDeadline(t *testing.T) {
	database, err := Open(t.Context(), filepath.Join(t.TempDir(), "data"), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := database.Close(); err != nil {
			t.Error(err)
		}
	}()
	release, err := database.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := database.Sessions.Get(ctx, "s"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a free connection: %v", err)
	}
	release()
	if _, err := database.Sessions.Get(t.Context(), "s"); !errors.Is(err, ErrNotFound) {
		t.Errorf("with a free connection: %v", err)
	}
}

func TestLocksOfOneIDExcludeEachOther(t *testing.T) {
	database := newDatabase(t)
	unlock, err := database.Sessions.Lock(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	other, err := database.Sessions.Lock(t.Context(), "another")
	if err != nil {
		t.Fatal(err)
	}
	other()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := database.Sessions.Lock(ctx, "s"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second lock: %v", err)
	}
	unlock()
	again, err := database.Sessions.Lock(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	again()
}
