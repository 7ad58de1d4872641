package backend

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/translate"
)

const (
	// keepAfter is how long after somebody replaced the annotations of a row our
	// record is written into them again. It doubles each time that they do so, up to
	// keepAtMost: with somebody who insists, we don't compete.
	keepAfter  = 2 * time.Second
	keepAtMost = time.Minute
)

// keeper knows the rows whose annotations somebody replaced without the record that
// we keep there. Until it stands there again, it is in memory only.
type keeper[R message] struct {
	queue workqueue.TypedRateLimitingInterface[string]

	mu sync.Mutex
	// lost holds these rows by id.
	lost map[string]loss[R]
}

// loss is a row without our record, as the upstream holds it.
type loss[R message] struct {
	row R
	// malformed annotations have no place for the record: it waits until they are a
	// JSON object again, or nothing.
	malformed bool
}

func newKeeper[R message]() *keeper[R] {
	limits := workqueue.NewTypedItemExponentialFailureRateLimiter[string](keepAfter, keepAtMost)
	return &keeper[R]{queue: workqueue.NewTypedRateLimitingQueue(limits), lost: map[string]loss[R]{}}
}

// annotated is a row with annotations, in which our record stands.
type annotated interface {
	message
	GetAnnotations() string
}

// carry returns the row that follows before, with our record if somebody replaced the
// annotations without it, and notes whether it did.
func carry[R annotated](k *keeper[R], id string, before, after R) R {
	kept := translate.CarryReserved(before.GetAnnotations(), after.GetAnnotations())
	lost := kept != after.GetAnnotations()
	if !lost {
		k.noteNone(id)
		return after
	}
	k.note(id, loss[R]{row: after, malformed: translate.MalformedAnnotations(after.GetAnnotations())})
	carried := proto.Clone(after).(R)
	columns := carried.ProtoReflect()
	columns.Set(columns.Descriptor().Fields().ByName("annotations"), protoreflect.ValueOfString(kept))
	return carried
}

// note notes that the row with the id lost its record.
func (k *keeper[R]) note(id string, lost loss[R]) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lost[id] = lost
	if lost.malformed {
		return
	}
	k.queue.AddRateLimited(id)
}

// noteNone notes that the row with the id has its record, or never had one.
func (k *keeper[R]) noteNone(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.lost, id)
}

// forget forgets a row that is gone.
func (k *keeper[R]) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.lost, id)
	k.queue.Forget(id)
}

// withoutRecord returns the row as the upstream holds it, if it lost its record there.
func (k *keeper[R]) withoutRecord(id string) (row R, lost bool) {
	if k == nil {
		return row, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	found, lost := k.lost[id]
	return found.row, lost
}

// awaits tells whether the row lost its record and has a place for it.
func (k *keeper[R]) awaits(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	lost, found := k.lost[id]
	return found && !lost.malformed
}

// asRead returns the row with the id as the upstream holds it, in which our record may
// lack that the published one has.
func (k *kind[R]) asRead(id string) (row R, found bool) {
	if row, lost := k.keeper.withoutRecord(id); lost {
		return row, true
	}
	return k.row(id)
}

// restorable returns the row with the id and its record, if the upstream's lost it and
// has a place for it. Under the lock that rows are published under: behind malformed
// annotations, the record must not be sent.
func (k *kind[R]) restorable(id string) (row R, found bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p, known := k.byID[id]; known && k.keeper.awaits(id) {
		return p.row, true
	}
	return row, false
}

// keepForEver writes lost records again, until the context ends. A standby keeps
// them in mind until it leads.
func (k *kind[R]) keepForEver(ctx context.Context) error {
	drain(ctx, k.keeper.queue, func(id string) {
		if err := k.keep(ctx, id); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).V(2).Info("A record in annotations that somebody replaced could not be written again yet", "resource", k.resource.Resource, "id", id, "err", err)
			k.keeper.queue.AddRateLimited(id)
		}
	})
	return nil
}

// keep writes the record of a row into its annotations, if it is still lost.
func (k *kind[R]) keep(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, repairTimeout)
	defer cancel()
	if err := k.Synced(); err != nil {
		return err
	}
	key, found := k.keyOf(id)
	if !found {
		return nil
	}
	unlock, err := k.Lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	if err := k.refreshID(ctx, id, nameOf(key)); err != nil {
		return err
	}
	row, found := k.restorable(id)
	if !found {
		return nil
	}
	if err := k.send(ctx, id, nameOf(key), k.repairs.annotate(row)); err != nil {
		return err
	}
	k.report(RepairRestored, key, "Somebody replaced the annotations at the upstream without the record that is kept there (ambient.io/kubernetes); it was written again")
	return nil
}
