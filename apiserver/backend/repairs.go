package backend

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/repair"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// repairTimeout bounds one repair, which nobody waits for.
const repairTimeout = 30 * time.Second

// RepairReporter is told of each repair, with the object as it is afterwards;
// the object is nil when it was deleted again.
type RepairReporter func(action string, object runtime.Object, message string)

// Names of the repairs.
const (
	// RepairRewritten: a write that a racing save had undone was made again.
	RepairRewritten = "rewritten"
	// RepairDeleted: a deleted row that a racing save had revived was deleted again.
	RepairDeleted = "deleted"
)

// repairJob is one row to make good: a lost write, or a revived row if there is none.
type repairJob struct {
	id    string
	write *repair.Write
}

// repairs are the jobs that wait. Rows are looked at while locks are held, so the
// work is done elsewhere.
type repairs struct {
	memory *repair.Memory
	report RepairReporter

	mu     sync.Mutex
	jobs   []repairJob
	signal chan struct{}
}

func newRepairs(report RepairReporter) *repairs {
	if report == nil {
		report = func(string, runtime.Object, string) {}
	}
	return &repairs{memory: repair.NewMemory(time.Now), report: report, signal: make(chan struct{}, 1)}
}

func (r *repairs) add(job repairJob) {
	r.mu.Lock()
	r.jobs = append(r.jobs, job)
	r.mu.Unlock()
	select {
	case r.signal <- struct{}{}:
	default:
	}
}

func (r *repairs) take() []repairJob {
	r.mu.Lock()
	defer r.mu.Unlock()
	jobs := r.jobs
	r.jobs = nil
	return jobs
}

// statusColumns are the columns that others may still write into a row while it
// is being deleted.
var statusColumns = func() map[string]bool {
	columns := map[string]bool{}
	fields := (&ambientv1.UpdateSessionStatusRequest{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		columns[string(fields.Get(i).Name())] = true
	}
	return columns
}()

func isStatusColumn(column string) bool { return statusColumns[column] }

// inspect looks for the marks of a racing save in a row that is new or changed.
func (s *Sessions) inspect(id string, row *ambientv1.Session, known bool) {
	if write, lost := s.repairs.memory.Lost(id, row); lost {
		s.repairs.add(repairJob{id: id, write: &write})
	}
	if !known && s.repairs.memory.Revived(id, row, isStatusColumn) {
		s.repairs.add(repairJob{id: id})
	}
}

// repairForEver makes good what racing saves undid, until the context ends.
func (s *Sessions) repairForEver(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.repairs.signal:
		}
		for _, job := range s.repairs.take() {
			if err := s.repair(ctx, job); err != nil && ctx.Err() == nil {
				klog.FromContext(ctx).Info("A row that a racing save changed could not be repaired", "id", job.id, "err", err)
			}
		}
	}
}

func (s *Sessions) repair(ctx context.Context, job repairJob) error {
	ctx, cancel := context.WithTimeout(ctx, repairTimeout)
	defer cancel()
	key, found := s.keyOf(job.id)
	if !found {
		return nil
	}
	unlock, err := s.Lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.refreshID(ctx, job.id, nameOf(key)); err != nil {
		return err
	}
	row, found := s.row(job.id)
	if !found {
		return nil
	}
	if job.write == nil {
		if err := s.deleteID(ctx, job.id, nameOf(key)); err != nil {
			return fmt.Errorf("deleting a revived row: %w", err)
		}
		s.repairs.report(RepairDeleted, nil, "A racing save at the upstream revived session "+nameOf(key)+" after its deletion; it was deleted again")
		return nil
	}
	if !repair.Undone(*job.write, row) {
		return nil
	}
	if err := s.rewrite(ctx, job.id, nameOf(key), *job.write); err != nil {
		return fmt.Errorf("writing again what was lost: %w", err)
	}
	if entry, found := s.journal.Get(key); found {
		s.repairs.report(RepairRewritten, entry.Value, "A racing save at the upstream undid an acknowledged write of "+columnsOf(*job.write)+"; it was made again")
	}
	return nil
}

// rewrite sends the request of a lost write once more.
func (s *Sessions) rewrite(ctx context.Context, id, name string, write repair.Write) error {
	return s.call(ctx, false, name, func(ctx context.Context) error {
		var row *ambientv1.Session
		var err error
		switch request := write.Request.(type) {
		case *ambientv1.UpdateSessionRequest:
			row, err = s.client.UpdateSession(ctx, request)
		case *ambientv1.UpdateSessionStatusRequest:
			row, err = s.client.UpdateSessionStatus(ctx, request)
		default:
			return fmt.Errorf("unexpected request %T", request)
		}
		if err == nil {
			s.observe(ctx, roundSession(row))
		}
		return err
	})
}

// columnsOf names the columns of a write, for people.
func columnsOf(write repair.Write) string {
	text := ""
	write.Request.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if field.Name() != "id" {
			if text != "" {
				text += ", "
			}
			text += string(field.Name())
		}
		return true
	})
	return text
}

// keyOf returns the storage key that the row is published under.
func (x *index[R]) keyOf(id string) (string, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if p, found := x.byID[id]; found && p.key != "" {
		return p.key, true
	}
	return "", false
}
