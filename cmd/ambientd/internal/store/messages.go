package store

import (
	"context"
	"database/sql"
	"fmt"
)

// Message is one message of a session. Seq rises over all sessions, so that it
// rises within one, with gaps.
type Message struct {
	ID        string
	SessionID string
	Seq       int64
	EventType string
	Payload   string
	CreatedAt Time
}

// Messages gives access to the messages of all sessions.
type Messages struct {
	database *Database
	insert   *sql.Stmt
	after    *sql.Stmt
}

func newMessages(ctx context.Context, database *Database) (*Messages, error) {
	insert, err := database.writer.PrepareContext(ctx,
		"INSERT INTO session_messages (id, session_id, event_type, payload, created_at) VALUES (?, ?, ?, ?, ?)")
	if err != nil {
		return nil, fmt.Errorf("preparing to add messages: %w", err)
	}
	after, err := database.readers.PrepareContext(ctx,
		"SELECT seq, id, session_id, event_type, payload, created_at FROM session_messages WHERE session_id = ? AND seq > ? ORDER BY seq LIMIT ?")
	if err != nil {
		return nil, fmt.Errorf("preparing to read messages: %w", err)
	}
	return &Messages{database: database, insert: insert, after: after}, nil
}

// Insert adds the message and sets its Seq. It returns ErrReference for a session
// that never existed and ErrText for texts that cannot be stored.
func (m *Messages) Insert(ctx context.Context, message *Message) error {
	if hasNUL(&message.EventType) || hasNUL(&message.Payload) {
		return ErrText
	}
	release, err := m.database.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	result, err := m.insert.ExecContext(ctx, message.ID, message.SessionID, message.EventType, message.Payload, message.CreatedAt)
	if err != nil {
		return translate(err)
	}
	if message.Seq, err = result.LastInsertId(); err != nil {
		return fmt.Errorf("reading the number of the new message: %w", err)
	}
	return nil
}

// After returns the messages of a session whose Seq is greater than seq, in order
// of Seq, at most limit.
func (m *Messages) After(ctx context.Context, sessionID string, seq int64, limit int) ([]*Message, error) {
	release, err := m.database.Hold(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	result, err := m.after.QueryContext(ctx, sessionID, seq, limit)
	if err != nil {
		return nil, fmt.Errorf("selecting messages: %w", translate(err))
	}
	defer func() { _ = result.Close() }() // result.Err tells of failures
	var messages []*Message
	for result.Next() {
		message := new(Message)
		if err := result.Scan(&message.Seq, &message.ID, &message.SessionID, &message.EventType, &message.Payload, &message.CreatedAt); err != nil {
			return nil, fmt.Errorf("reading a message: %w", err)
		}
		messages = append(messages, message)
	}
	return messages, translate(result.Err())
}
