package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/repair"
	"github.com/ambient-code/ambient-kube/apiserver/upstream"
)

const (
	// repairTimeout bounds one attempt of a repair, which nobody waits for.
	repairTimeout = 30 * time.Second
	// repairPatience is how long after it was noticed a repair that fails is tried
	// again. Longer ago, what stands upstream may have been taken for the truth.
	repairPatience = time.Minute
	// repairPause is the pause after a failed attempt; it doubles up to repairPauseAtMost.
	repairPause, repairPauseAtMost = 500 * time.Millisecond, 10 * time.Second
)

// RepairReporter is told of each repair, or that there was none, with the object as
// it is afterwards; the object is nil when it was deleted again.
type RepairReporter func(action string, object runtime.Object, message string)

// Names of the repairs.
const (
	// RepairRewritten: a write that a racing save had undone was made again.
	RepairRewritten = "rewritten"
	// RepairDeleted: a deleted row that a racing save had revived was deleted again.
	RepairDeleted = "deleted"
	// RepairLeft: a deleted row is back and was left alone, for people to decide.
	RepairLeft = "left"
	// RepairRestored: the record that is kept in the annotations, which somebody had
	// replaced without it, was written again.
	RepairRestored = "restored"
	// RepairFailed: the upstream did not let us repair the row in time, for people to
	// decide.
	RepairFailed = "failed"
)

// RepairActions returns the names of all repairs.
func RepairActions() []string {
	return []string{RepairRewritten, RepairDeleted, RepairLeft, RepairRestored, RepairFailed}
}

// repairJob is one row to make good: a lost write, or a revived row if there is
// none. A revived row may have to be left alone.
type repairJob struct {
	id      string
	write   *repair.Write
	leave   bool
	noticed time.Time
}

// repairs are the jobs that wait, and what the kind knows of them. Rows are looked
// at while locks are held, so the work is done elsewhere.
type repairs[R message] struct {
	memory *repair.Memory
	report RepairReporter
	repairing[R]
	queue workqueue.TypedRateLimitingInterface[*repairJob]
}

// repairing is how the rows of one kind are made good.
type repairing[R message] struct {
	// singular names one object of the kind, for people.
	singular string
	// excused are the columns that others may still write into a row while it is
	// being deleted.
	excused map[string]bool
	// resend sends the request of a lost write once more.
	resend func(context.Context, proto.Message) (R, error)
	// annotate returns a request that writes the annotations of the row.
	annotate func(row R) proto.Message
	// deleteAgain deletes a revived row.
	deleteAgain func(ctx context.Context, id, name string) error
}

func newRepairs[R message](report RepairReporter, how repairing[R]) *repairs[R] {
	if report == nil {
		report = func(string, runtime.Object, string) {}
	}
	pauses := workqueue.NewTypedItemExponentialFailureRateLimiter[*repairJob](repairPause, repairPauseAtMost)
	return &repairs[R]{memory: repair.NewMemory(time.Now), report: report, repairing: how, queue: workqueue.NewTypedRateLimitingQueue(pauses)}
}

func (r *repairs[R]) add(job repairJob) {
	job.noticed = time.Now()
	r.queue.Add(&job)
}

// end forgets a job that is done or given up.
func (r *repairs[R]) end(job *repairJob) {
	r.queue.Forget(job)
	if job.write != nil {
		r.memory.Repaired(job.id)
	}
}

// columnsIn are the columns that a request may write.
func columnsIn(request proto.Message) map[string]bool {
	columns := map[string]bool{}
	fields := request.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		columns[string(fields.Get(i).Name())] = true
	}
	return columns
}

// wrote takes the upstream's answer to a write. An acknowledged one is remembered, so
// that a racing save which undoes it is noticed, and the answer folded in. One whose
// outcome is unknown takes the place of former ones, too: that they are undone may be
// its own doing, and no repair must make them again after it.
func (k *kind[R]) wrote(ctx context.Context, id string, request proto.Message, before, after R, err error) {
	if upstream.Ambiguous(err) {
		k.repairs.memory.Wrote(id, repair.Write{Request: request, Before: before, After: before})
	}
	if err != nil {
		return
	}
	k.repairs.memory.Wrote(id, repair.Write{Request: request, Before: before, After: after})
	k.observe(ctx, after)
	// The racing save may have shown before our answer did: nothing new shows then.
	if row, found := k.asRead(id); found {
		k.inspect(id, row, true)
	}
}

// deleting deletes a row by the call, remembers it, so that a racing save which
// revives it is noticed, and folds the deletion in. What it was is asked before:
// the deletion may show before its answer.
func (k *kind[R]) deleting(id string, call func() error) error {
	row, found := k.asRead(id)
	if err := call(); err != nil {
		return err
	}
	if found {
		k.repairs.memory.Deleted(id, row)
	}
	k.feed.Deleted(id)
	return nil
}

// inspect looks for the marks of a racing save in a row that is new or changed.
func (k *kind[R]) inspect(id string, row R, known bool) {
	if write, lost := k.repairs.memory.Lost(id, row); lost {
		k.repairs.add(repairJob{id: id, write: &write})
	}
	if known {
		return
	}
	revival := k.repairs.memory.Revived(id, row, k.isExcused)
	if revival != repair.NotRevived {
		k.repairs.add(repairJob{id: id, leave: revival == repair.LeaveAlone})
	}
}

// repairForEver makes good what racing saves undid, until the context ends.
func (k *kind[R]) repairForEver(ctx context.Context) error {
	queue := k.repairs.queue
	drain(ctx, queue, func(job *repairJob) {
		err := k.repair(ctx, *job)
		switch {
		case err == nil || ctx.Err() != nil:
			k.repairs.end(job)
		case time.Since(job.noticed) < repairPatience:
			klog.FromContext(ctx).V(2).Info("A row that a racing save changed could not be repaired yet", "resource", k.resource.Resource, "id", job.id, "err", err)
			queue.AddRateLimited(job)
		default:
			k.repairs.end(job)
			k.reportFailed(*job, err)
		}
	})
	return nil
}

// repair makes one attempt. Each looks anew whether there still is what to repair.
func (k *kind[R]) repair(ctx context.Context, job repairJob) error {
	ctx, cancel := context.WithTimeout(ctx, repairTimeout)
	defer cancel()
	key, found := k.keyOf(job.id)
	if !found {
		return nil
	}
	if job.leave {
		k.reportLeft(key, "it has changed or there are more than ten a minute")
		return nil
	}
	unlock, err := k.Lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	if err := k.refreshID(ctx, job.id, nameOf(key)); err != nil {
		return err
	}
	row, found := k.asRead(job.id)
	switch {
	case !found:
		return nil
	case job.write == nil:
		return k.deleteRevived(ctx, job.id, key, row)
	default:
		return k.writeAgain(ctx, job.id, key, *job.write, row)
	}
}

// deleteRevived deletes the revived row once more, if it still is the deleted one.
func (k *kind[R]) deleteRevived(ctx context.Context, id, key string, row R) error {
	if !k.repairs.memory.StillDeleted(id, row, k.isExcused) {
		k.reportLeft(key, "it has changed")
		return nil
	}
	err := k.repairs.deleteAgain(ctx, id, nameOf(key))
	switch {
	case errors.Is(err, errInUse):
		k.reportLeft(key, err.Error())
		return nil
	case err != nil:
		return fmt.Errorf("deleting a revived row: %w", err)
	}
	k.repairs.report(RepairDeleted, nil, "A racing save at the upstream revived "+k.repairs.singular+" "+nameOf(key)+" after its deletion; it was deleted again")
	return nil
}

// writeAgain sends once more what of the lost write the row still lacks.
func (k *kind[R]) writeAgain(ctx context.Context, id, key string, write repair.Write, row R) error {
	lost, outstanding := k.repairs.memory.Outstanding(id, write, row)
	if !outstanding {
		return nil
	}
	// Its values were written by us before, so that whoever owns them stays their owner.
	if err := k.send(ctx, id, nameOf(key), lost.Request); err != nil {
		return fmt.Errorf("writing again what was lost: %w", err)
	}
	k.report(RepairRewritten, key, "A racing save at the upstream undid an acknowledged write of "+columnsOf(lost)+"; it was made again")
	return nil
}

func (k *kind[R]) isExcused(column string) bool { return k.repairs.excused[column] }

// report tells of the object under the key, if it is still there.
func (k *kind[R]) report(action, key, message string) {
	if entry, found := k.journal.Get(key); found {
		k.repairs.report(action, entry.Value, message)
	}
}

// reportLeft tells of a deleted row that is back and left alone.
func (k *kind[R]) reportLeft(key, reason string) {
	k.report(RepairLeft, key, "After its deletion, "+k.repairs.singular+" "+nameOf(key)+" is back, as after a racing save at the upstream; it was left alone, because "+reason)
}

// reportFailed tells of a row that could not be repaired in time.
func (k *kind[R]) reportFailed(job repairJob, err error) {
	key, found := k.keyOf(job.id)
	if !found {
		return
	}
	undone := "its deletion"
	if job.write != nil {
		undone = "an acknowledged write of " + columnsOf(*job.write)
	}
	k.report(RepairFailed, key, fmt.Sprintf("A racing save at the upstream undid %s, and the upstream did not let it be made again within %s: %v", undone, repairPatience, err))
}

// send sends a request of ours that no client waits for, and folds in the answer.
func (k *kind[R]) send(ctx context.Context, id, name string, request proto.Message) error {
	return k.duringWrite(id, func() error {
		return k.call(ctx, false, name, func(ctx context.Context) error {
			row, err := k.repairs.resend(ctx, request)
			if err == nil {
				k.observe(ctx, row)
			}
			return err
		})
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
