// Package repair notices when a write that the upstream acknowledged was undone
// by a racing save of the whole row, and says how to make it good.
//
// The upstream saves all columns of a row that it read before: of two concurrent
// writes one is lost about every second time, and a row that was deleted in
// between is alive again. The package compares rows and remembers writes; it
// sends nothing itself and knows nothing of Kubernetes.
package repair

import (
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// writeWindow is how long after our reply a racing save may show.
	writeWindow = 10 * time.Second
	// deleteWindow is how long after a deletion a revived row is deleted again.
	deleteWindow = 60 * time.Second
	// deletesPerMinute bounds how many revived rows are deleted again.
	deletesPerMinute = 10
)

// Write is a write of ours that the upstream acknowledged.
type Write struct {
	// Request holds the written columns as its present fields, beside the id.
	Request proto.Message
	// Before and After are the row before the write and the upstream's answer.
	Before, After proto.Message
	at            time.Time
}

// Memory remembers recent writes and deletions by row id. It may be used
// concurrently; what is older than the windows is forgotten.
type Memory struct {
	now func() time.Time

	mu     sync.Mutex
	writes map[string][]Write
	// repairing counts the lost writes that are being made good, by row id. Writes of
	// such a row are kept beyond the window: no repair may undo one.
	repairing map[string]int
	deleted   map[string]deletion
	revivals  []time.Time
}

type deletion struct {
	row  proto.Message
	at   time.Time
	done bool
}

// NewMemory returns an empty memory with the given clock.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{now: now, writes: map[string][]Write{}, repairing: map[string]int{}, deleted: map[string]deletion{}}
}

// Wrote remembers a write of the row.
func (m *Memory) Wrote(id string, write Write) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetLocked()
	write.at = m.now()
	// A later write of the same column is our own last word on it.
	rest := slices.DeleteFunc(m.writes[id], func(former Write) bool { return overlap(former.Request, write.Request) })
	m.writes[id] = append(rest, write)
}

// overlap tells whether two requests write a column in common.
func overlap(a, b proto.Message) bool {
	other, common := b.ProtoReflect(), false
	a.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		twin := other.Descriptor().Fields().ByName(field.Name())
		common = field.Name() != "id" && twin != nil && other.Has(twin)
		return !common
	})
	return common
}

// Deleted remembers that we deleted the row at a client's wish.
func (m *Memory) Deleted(id string, row proto.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetLocked()
	delete(m.writes, id)
	// A row that was deleted again already has had its one repair.
	m.deleted[id] = deletion{row: row, at: m.now(), done: m.deleted[id].done}
}

// Lost returns the write of ours that a racing save undid, if the row shows that,
// and forgets it: a repair is made once. Repaired tells of its end. A row in which
// only our fields went back is somebody's decision and stands.
func (m *Memory) Lost(id string, row proto.Message) (Write, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	remembered := m.writes[id]
	for i, write := range remembered {
		if m.now().Sub(write.at) > writeWindow || !Undone(write, row) {
			continue
		}
		m.writes[id] = slices.Delete(remembered, i, i+1)
		m.repairing[id]++
		return write, true
	}
	return Write{}, false
}

// Repaired notes that the repair of a write that Lost returned has come to its end,
// whichever.
func (m *Memory) Repaired(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.repairing[id]--; m.repairing[id] <= 0 {
		delete(m.repairing, id)
	}
}

// carriedOn is the column that every write of a specification writes: what stands in
// it after a lost write and a later one is the later one's.
const carriedOn = "annotations"

// Outstanding returns what of a lost write is still to be made good, given the row
// as it is now and what we wrote since. A later write of ours shows upstream before
// its answer is here, and until then looks like a racing save.
func (m *Memory) Outstanding(id string, lost Write, row proto.Message) (Write, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.overwrittenLocked(id, lost.Request) && Undone(lost, row) {
		return lost, true
	}
	request := proto.Clone(lost.Request)
	column := request.ProtoReflect().Descriptor().Fields().ByName(carriedOn)
	if column == nil || !request.ProtoReflect().Has(column) {
		return Write{}, false
	}
	request.ProtoReflect().Clear(column)
	lost.Request = request
	return lost, !m.overwrittenLocked(id, request) && Undone(lost, row)
}

// overwrittenLocked tells whether a remembered write has a column in common with the
// request of a lost one. Those are later: each write drops what overlaps before it.
func (m *Memory) overwrittenLocked(id string, request proto.Message) bool {
	return slices.ContainsFunc(m.writes[id], func(later Write) bool { return overlap(later.Request, request) })
}

// Revival says what a row is that was not there before.
type Revival int

const (
	// NotRevived: we did not delete it, or long ago.
	NotRevived Revival = iota
	// DeleteAgain: we deleted it, a racing save brought it back, and it is to be
	// deleted once more.
	DeleteAgain
	// LeaveAlone: we deleted it and it is back, but that may be a decision, or there
	// are too many such rows. People are to be told.
	LeaveAlone
)

// Revived tells what the row is that was not there before. excused are the columns
// in which a revived row may differ from the deleted one.
func (m *Memory) Revived(id string, row proto.Message, excused func(column string) bool) Revival {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	gone, found := m.deleted[id]
	if !found || now.Sub(gone.at) > deleteWindow {
		return NotRevived
	}
	if gone.done || !same(gone.row, row, excused) {
		return LeaveAlone
	}
	recent := m.revivals[:0]
	for _, at := range m.revivals {
		if now.Sub(at) < time.Minute {
			recent = append(recent, at)
		}
	}
	m.revivals = recent
	if len(m.revivals) >= deletesPerMinute {
		return LeaveAlone
	}
	m.revivals = append(m.revivals, now)
	gone.done = true
	m.deleted[id] = gone
	return DeleteAgain
}

// StillDeleted tells whether the row is the one that we deleted, up to the excused
// columns.
func (m *Memory) StillDeleted(id string, row proto.Message, excused func(column string) bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	gone, found := m.deleted[id]
	return found && same(gone.row, row, excused)
}

// forgetLocked drops what is older than the windows.
func (m *Memory) forgetLocked() {
	now := m.now()
	for id, writes := range m.writes {
		if m.repairing[id] > 0 {
			continue
		}
		rest := slices.DeleteFunc(writes, func(write Write) bool { return now.Sub(write.at) > writeWindow })
		if m.writes[id] = rest; len(rest) == 0 {
			delete(m.writes, id)
		}
	}
	for id, gone := range m.deleted {
		if now.Sub(gone.at) > deleteWindow {
			delete(m.deleted, id)
		}
	}
}

// Undone tells whether the row holds exactly the former values of all columns
// that the write changed, while some other column differs from what we left.
func Undone(write Write, row proto.Message) bool {
	written := map[protoreflect.Name]bool{}
	before, after, now := write.Before.ProtoReflect(), write.After.ProtoReflect(), row.ProtoReflect()
	fields := now.Descriptor().Fields()
	changed, back := 0, 0
	write.Request.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		column := fields.ByName(field.Name())
		if column == nil {
			return true
		}
		written[column.Name()] = true
		if equal(before, after, column) {
			return true
		}
		changed++
		if equal(before, now, column) {
			back++
		}
		return true
	})
	if changed == 0 || back != changed {
		return false
	}
	for i := range fields.Len() {
		column := fields.Get(i)
		if !written[column.Name()] && !isIdentity(column) && !equal(after, now, column) {
			return true
		}
	}
	return false
}

// same tells whether two rows are the same one, by their time of creation, and
// agree in all columns but the excused ones. Another database may have a row with
// the same id.
func same(a, b proto.Message, excused func(column string) bool) bool {
	left, right := a.ProtoReflect(), b.ProtoReflect()
	fields := left.Descriptor().Fields()
	if identity := fields.ByName("metadata"); identity != nil {
		born := identity.Message().Fields().ByName("created_at")
		if !left.Get(identity).Message().Get(born).Equal(right.Get(identity).Message().Get(born)) {
			return false
		}
	}
	for i := range fields.Len() {
		column := fields.Get(i)
		if !isIdentity(column) && !excused(string(column.Name())) && !equal(left, right, column) {
			return false
		}
	}
	return true
}

// isIdentity tells whether the column holds id and times of the row itself.
func isIdentity(column protoreflect.FieldDescriptor) bool { return column.Name() == "metadata" }

// equal compares one column of two rows; absent and empty are the same to the
// upstream.
func equal(a, b protoreflect.Message, column protoreflect.FieldDescriptor) bool {
	return a.Get(column).Equal(b.Get(column))
}
