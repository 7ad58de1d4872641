package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
)

// Order is the order of the rows in a listing.
type Order int

const (
	// Heap is the order in which rows lie in the table: a changed row moves to
	// the end. It is not an order that a caller may rely on.
	Heap Order = iota
	// Shuffled is another order for every page.
	Shuffled
)

// Table gives access to the rows of one kind. R is the row type.
type Table[R any] struct {
	database *Database
	columns  func(*R) []column

	get      *sql.Stmt
	count    *sql.Stmt
	page     *sql.Stmt
	shuffled *sql.Stmt
	insert   *sql.Stmt
	update   *sql.Stmt
	upsert   *sql.Stmt
	remove   *sql.Stmt

	// replacing holds the ids that somebody is replacing, each with a channel that
	// is closed afterwards: the advisory locks of the real server.
	replacing sync.Map
}

func newTable[R any](ctx context.Context, database *Database, name string, columns func(*R) []column) (*Table[R], error) {
	var names, assignments, overwrites []string
	for _, column := range columns(new(R)) {
		names = append(names, column.name)
		assignments = append(assignments, column.name+" = ?")
		overwrites = append(overwrites, column.name+" = excluded."+column.name)
	}
	var (
		list   = strings.Join(names, ", ")
		marks  = strings.TrimSuffix(strings.Repeat("?, ", len(names)), ", ")
		next   = "(SELECT coalesce(max(position), 0) + 1 FROM " + name + ")"
		live   = " INDEXED BY live_" + name + " WHERE deleted_at IS NULL"
		insert = "INSERT INTO " + name + " (position, deleted_at, " + list + ") VALUES (" + next + ", NULL, " + marks + ")"
	)
	table := &Table[R]{database: database, columns: columns}
	for _, statement := range []struct {
		prepared **sql.Stmt
		on       *sql.DB
		text     string
	}{
		{&table.get, database.readers, "SELECT " + list + " FROM " + name + " WHERE id = ? AND deleted_at IS NULL"},
		{&table.count, database.readers, "SELECT count(*) FROM " + name + live},
		{&table.page, database.readers, "SELECT " + list + " FROM " + name + live + " ORDER BY position LIMIT ? OFFSET ?"},
		{&table.shuffled, database.readers, "SELECT " + list + " FROM " + name + " WHERE deleted_at IS NULL ORDER BY random() LIMIT ? OFFSET ?"},
		{&table.insert, database.writer, insert},
		{&table.update, database.writer, "UPDATE " + name + " SET position = " + next + ", " + strings.Join(assignments, ", ") + " WHERE id = ? AND deleted_at IS NULL"},
		{&table.upsert, database.writer, insert + " ON CONFLICT (id) DO UPDATE SET position = excluded.position, deleted_at = NULL, " + strings.Join(overwrites, ", ")},
		{&table.remove, database.writer, "UPDATE " + name + " SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL"},
	} {
		prepared, err := statement.on.PrepareContext(ctx, statement.text)
		if err != nil {
			return nil, fmt.Errorf("preparing %q: %w", statement.text, err)
		}
		*statement.prepared = prepared
	}
	return table, nil
}

// Get returns the live row with the id, or ErrNotFound.
func (t *Table[R]) Get(ctx context.Context, id string) (*R, error) {
	release, err := t.database.Hold(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	row := new(R)
	if err := t.get.QueryRowContext(ctx, id).Scan(t.fields(row)...); err != nil {
		return nil, translate(err)
	}
	return row, nil
}

// List returns the live rows from offset on, at most limit, and the number of all
// live rows. The two come from two statements, between which rows may change.
func (t *Table[R]) List(ctx context.Context, order Order, offset, limit int) (rows []*R, total int, err error) {
	release, err := t.database.Hold(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer release()
	if err := t.count.QueryRowContext(ctx).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("counting: %w", translate(err))
	}
	statement := t.page
	if order == Shuffled {
		statement = t.shuffled
	}
	result, err := statement.QueryContext(ctx, limit, offset)
	if err != nil {
		return nil, 0, fmt.Errorf("selecting a page: %w", translate(err))
	}
	defer func() { _ = result.Close() }() // result.Err tells of failures
	for result.Next() {
		row := new(R)
		if err := result.Scan(t.fields(row)...); err != nil {
			return nil, 0, fmt.Errorf("reading a row: %w", err)
		}
		rows = append(rows, row)
	}
	if err := result.Err(); err != nil {
		return nil, 0, fmt.Errorf("reading a page: %w", translate(err))
	}
	return rows, total, nil
}

// Insert adds a row. It returns ErrExists, ErrReference or ErrText when the row
// cannot be stored.
func (t *Table[R]) Insert(ctx context.Context, row *R) error {
	_, err := t.write(ctx, t.insert, row)
	return err
}

// Save writes all columns of the row over the live row with its id. When there is
// none it inserts the row, which revives a deleted one: the real server's object
// mapper does so.
func (t *Table[R]) Save(ctx context.Context, row *R) error {
	changed, err := t.write(ctx, t.update, row, t.columns(row)[0].field)
	if err != nil || changed > 0 {
		return err
	}
	_, err = t.write(ctx, t.upsert, row)
	return err
}

// Delete marks the live row with the id as deleted at the given time; it does not
// tell whether there was one.
func (t *Table[R]) Delete(ctx context.Context, id string, at Time) error {
	release, err := t.database.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	_, err = t.remove.ExecContext(ctx, at, id)
	return translate(err)
}

// Lock takes a connection out of the pool and waits until nobody else holds the
// lock of this id. The real server's replace path takes it around the write only.
func (t *Table[R]) Lock(ctx context.Context, id string) (unlock func(), err error) {
	release, err := t.database.Hold(ctx)
	if err != nil {
		return nil, err
	}
	mine := make(chan struct{})
	for {
		other, taken := t.replacing.LoadOrStore(id, mine)
		if !taken {
			return func() {
				t.replacing.Delete(id)
				close(mine)
				release()
			}, nil
		}
		select {
		case <-other.(chan struct{}): //nolint:errcheck,forcetypeassert // the map holds nothing else
		case <-ctx.Done():
			release()
			return nil, fmt.Errorf("waiting for the lock of %s: %w", id, ctx.Err())
		}
	}
}

func (t *Table[R]) write(ctx context.Context, statement *sql.Stmt, row *R, more ...any) (changed int64, err error) {
	fields := t.fields(row)
	for _, field := range fields {
		if hasNUL(field) {
			return 0, ErrText
		}
	}
	release, err := t.database.Hold(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	result, err := statement.ExecContext(ctx, append(fields, more...)...)
	if err != nil {
		return 0, translate(err)
	}
	affected, err := result.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("counting the changed rows: %w", err)
	}
	return affected, nil
}

func (t *Table[R]) fields(row *R) []any {
	columns := t.columns(row)
	fields := make([]any, len(columns))
	for i, column := range columns {
		fields[i] = column.field
	}
	return fields
}

func hasNUL(field any) bool {
	switch text := field.(type) {
	case *string:
		return strings.ContainsRune(*text, 0)
	case **string:
		return *text != nil && strings.ContainsRune(**text, 0)
	default:
		return false
	}
}
