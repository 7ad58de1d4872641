// Package store keeps the rows of the embedded upstream in one SQLite file, with
// the visible behaviour of the real server's PostgreSQL: heap order, soft
// deletion under unique indexes that cover deleted rows, microseconds, saves of
// whole rows, and a limited pool of connections.
//
// It owns tables and statements. It must not know gRPC, events, callers or faults.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strings"

	"golang.org/x/sync/semaphore"
	"modernc.org/sqlite"
	sqliteerror "modernc.org/sqlite/lib"
)

// Errors that statements return; everything else is a failure of the database.
var (
	// ErrNotFound means that no live row has the id.
	ErrNotFound = errors.New("no such row")
	// ErrExists means that a row with the same unique value exists, which may be
	// a deleted one.
	ErrExists = errors.New("a row with this value exists or existed")
	// ErrReference means that a row refers to one that never existed.
	ErrReference = errors.New("the row refers to another that does not exist")
	// ErrText means that a text holds a NUL byte, which PostgreSQL cannot store.
	ErrText = errors.New("invalid byte sequence for encoding UTF8: 0x00")
)

const schemaVersion = 1

// In every table the position is the place of the row in the heap: PostgreSQL
// writes a changed row to a new place, so that it moves to the end of an
// unordered listing. The partial indexes make counting and skipping cheap.
const schema = `
CREATE TABLE projects (
	position INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, deleted_at INTEGER,
	name TEXT NOT NULL UNIQUE, description TEXT, labels TEXT, annotations TEXT, status TEXT
);
CREATE INDEX live_projects ON projects (position) WHERE deleted_at IS NULL;

CREATE TABLE project_settings (
	position INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, deleted_at INTEGER,
	project_id TEXT NOT NULL UNIQUE REFERENCES projects (id), group_access TEXT, repositories TEXT
);
CREATE INDEX live_project_settings ON project_settings (position) WHERE deleted_at IS NULL;

CREATE TABLE sessions (
	position INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, deleted_at INTEGER,
	name TEXT NOT NULL, repo_url TEXT, prompt TEXT, created_by_user_id TEXT, assigned_user_id TEXT,
	workflow_id TEXT, repos TEXT, timeout INTEGER, llm_model TEXT, llm_temperature REAL, llm_max_tokens INTEGER,
	parent_session_id TEXT REFERENCES sessions (id), bot_account_name TEXT, resource_overrides TEXT,
	environment_variables TEXT, labels TEXT, annotations TEXT, project_id TEXT, phase TEXT,
	start_time INTEGER, completion_time INTEGER, sdk_session_id TEXT, sdk_restart_count INTEGER, conditions TEXT,
	reconciled_repos TEXT, reconciled_workflow TEXT, kube_cr_name TEXT, kube_cr_uid TEXT, kube_namespace TEXT,
	agent_id TEXT
);
CREATE INDEX live_sessions ON sessions (position) WHERE deleted_at IS NULL;

CREATE TABLE session_messages (
	seq INTEGER PRIMARY KEY AUTOINCREMENT,
	id TEXT NOT NULL UNIQUE, session_id TEXT NOT NULL REFERENCES sessions (id),
	event_type TEXT NOT NULL, payload TEXT NOT NULL, created_at INTEGER NOT NULL
);
CREATE INDEX messages_of_session ON session_messages (session_id, seq);
`

// indexes are made in older files, too. Every save of a session asks for its children,
// which without an index are looked for among all sessions.
const indexes = "CREATE INDEX IF NOT EXISTS children_of_session ON sessions (parent_session_id);"

// Database is one open data file and the tables in it.
type Database struct {
	readers *sql.DB
	writer  *sql.DB
	pool    *semaphore.Weighted

	Sessions        *Table[Session]
	Projects        *Table[Project]
	ProjectSettings *Table[ProjectSettings]
	Messages        *Messages
}

// Open opens the data file at path and creates it if need be. poolSize is the
// number of connections that the imitated pool has: statements wait when it is
// used up.
func Open(ctx context.Context, path string, poolSize int) (*Database, error) {
	writer, err := open(path, 1)
	if err != nil {
		return nil, fmt.Errorf("opening %s for writing: %w", path, err)
	}
	if err := migrate(ctx, writer); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing the tables in %s: %w", path, err), writer.Close())
	}
	readers, err := open(path, 2*runtime.NumCPU())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s for reading: %w", path, err), writer.Close())
	}
	database := &Database{readers: readers, writer: writer, pool: semaphore.NewWeighted(int64(poolSize))}
	if err := database.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing the statements for %s: %w", path, err), database.Close())
	}
	return database, nil
}

func open(path string, connections int) (*sql.DB, error) {
	// Without a sync at every commit the data survives the death of the process,
	// not that of the machine, which is enough for a stand-in.
	options := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)", "busy_timeout(10000)"}}
	database, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: options.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	database.SetMaxOpenConns(connections)
	database.SetMaxIdleConns(connections)
	return database, nil
}

func migrate(ctx context.Context, writer *sql.DB) error {
	transaction, err := writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	if err := migrateIn(ctx, transaction); err != nil {
		return errors.Join(err, transaction.Rollback())
	}
	if err := transaction.Commit(); err != nil {
		return fmt.Errorf("committing the schema: %w", err)
	}
	return nil
}

func migrateIn(ctx context.Context, transaction *sql.Tx) error {
	var version int
	if err := transaction.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("reading the schema's version: %w", err)
	}
	switch version {
	case schemaVersion:
	case 0:
		if _, err := transaction.ExecContext(ctx, schema+fmt.Sprintf("PRAGMA user_version = %d;", schemaVersion)); err != nil {
			return fmt.Errorf("making the tables: %w", err)
		}
	default:
		return fmt.Errorf("the file has schema version %d, this program knows %d", version, schemaVersion)
	}
	if _, err := transaction.ExecContext(ctx, indexes); err != nil {
		return fmt.Errorf("making the indexes: %w", err)
	}
	return nil
}

func (d *Database) prepare(ctx context.Context) error {
	var err error
	if d.Sessions, err = newTable(ctx, d, "sessions", (*Session).columns); err != nil {
		return err
	}
	if d.Projects, err = newTable(ctx, d, "projects", (*Project).columns); err != nil {
		return err
	}
	if d.ProjectSettings, err = newTable(ctx, d, "project_settings", (*ProjectSettings).columns); err != nil {
		return err
	}
	d.Messages, err = newMessages(ctx, d)
	return err
}

// Close ends all connections to the data file.
func (d *Database) Close() error {
	return errors.Join(d.readers.Close(), d.writer.Close())
}

// Hold takes one connection out of the imitated pool until release is called. It
// waits for one as long as the context allows, and then returns the context's error.
func (d *Database) Hold(ctx context.Context) (release func(), err error) {
	if err := d.pool.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("waiting for a database connection: %w", err)
	}
	return func() { d.pool.Release(1) }, nil
}

// translate turns the driver's errors into the ones of this package.
func translate(err error) error {
	var failure *sqlite.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	case !errors.As(err, &failure):
		return err
	}
	switch failure.Code() {
	case sqliteerror.SQLITE_CONSTRAINT_UNIQUE, sqliteerror.SQLITE_CONSTRAINT_PRIMARYKEY:
		return fmt.Errorf("%w: %s", ErrExists, strings.TrimPrefix(failure.Error(), "constraint failed: "))
	case sqliteerror.SQLITE_CONSTRAINT_FOREIGNKEY:
		return fmt.Errorf("%w: %s", ErrReference, failure.Error())
	default:
		return err
	}
}
