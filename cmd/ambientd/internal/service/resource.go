package service

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/events"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/identity"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/store"
)

const (
	defaultPageSize = 20
	maximumPageSize = 500
	// paddingField is a field number that no response uses; clients skip it.
	paddingField = 9999
)

// resource does what is the same for all kinds. R is the row, M the message.
type resource[R, M any] struct {
	Environment

	// kind is the value of metadata.kind.
	kind string
	// href is the path under which the REST API serves the kind.
	href     string
	table    *store.Table[R]
	metadata func(*R) *store.Metadata
	message  func(*R) *M
}

func (r *resource[R, M]) reference(row *R) *ambientv1.ObjectReference {
	metadata := r.metadata(row)
	return &ambientv1.ObjectReference{
		Id:        metadata.ID,
		CreatedAt: timestamppb.New(metadata.CreatedAt.Time),
		UpdatedAt: timestamppb.New(metadata.UpdatedAt.Time),
		Kind:      r.kind,
		Href:      "/api/ambient/v1/" + r.href + "/" + metadata.ID,
	}
}

func (r *resource[R, M]) name(id string) string { return fmt.Sprintf("%s with id='%s'", r.kind, id) }

func (r *resource[R, M]) get(ctx context.Context, id string) (*M, error) {
	if err := requireID(id); err != nil {
		return nil, err
	}
	row, err := r.table.Get(ctx, id)
	if err != nil {
		return nil, statusOf(r.name(id), err)
	}
	return r.message(row), nil
}

// create inserts the row, whose id is set. The times in the answer keep their
// nanoseconds; the database rounds them.
func (r *resource[R, M]) create(ctx context.Context, row *R) (*M, error) {
	metadata := r.metadata(row)
	metadata.CreatedAt = store.Time{Time: r.Faults.Now()}
	metadata.UpdatedAt = metadata.CreatedAt
	if err := r.table.Insert(ctx, row); err != nil {
		return nil, statusOf(r.kind, err)
	}
	r.publish(events.Created, metadata.ID)
	return r.message(row), nil
}

// replace reads the row, changes it and saves all its columns. Only the save is
// locked, not the reading before it, so that of two concurrent changes one may be
// lost: so it is at the real server.
func (r *resource[R, M]) replace(ctx context.Context, id string, change func(*R)) (*M, error) {
	row, err := r.read(ctx, id)
	if err != nil {
		return nil, err
	}
	change(row)
	r.Faults.BeforeUpdate(ctx)
	unlock, err := r.table.Lock(ctx, id)
	if err != nil {
		return nil, statusOf(r.name(id), err)
	}
	defer unlock()
	return r.save(ctx, row)
}

func (r *resource[R, M]) read(ctx context.Context, id string) (*R, error) {
	if err := requireID(id); err != nil {
		return nil, err
	}
	row, err := r.table.Get(ctx, id)
	if err != nil {
		return nil, statusOf(r.name(id), err)
	}
	return row, nil
}

// save stores the row, whether anything changed or not.
func (r *resource[R, M]) save(ctx context.Context, row *R) (*M, error) {
	metadata := r.metadata(row)
	metadata.UpdatedAt = store.Time{Time: r.Faults.Now()}
	if err := r.table.Save(ctx, row); err != nil {
		return nil, statusOf(r.name(metadata.ID), err)
	}
	r.publish(events.Updated, metadata.ID)
	return r.message(row), nil
}

// remove succeeds for ids that do not exist too, and tells the watches so.
func (r *resource[R, M]) remove(ctx context.Context, id string) error {
	if err := requireID(id); err != nil {
		return err
	}
	if err := r.table.Delete(ctx, id, store.Time{Time: r.Faults.Now()}); err != nil {
		return statusOf(r.name(id), err)
	}
	r.publish(events.Deleted, id)
	return nil
}

// list returns one page. Callers without rights see an empty world, not an error.
func (r *resource[R, M]) list(ctx context.Context, page, size int32) ([]*M, *ambientv1.ListMeta, error) {
	page = max(page, 1)
	if size < 1 || size > maximumPageSize {
		size = defaultPageSize
	}
	meta := &ambientv1.ListMeta{Page: page, Size: size}
	if !identity.FromContext(ctx).Service {
		return nil, meta, nil
	}
	order := store.Heap
	if r.Faults.ShufflePages() {
		order = store.Shuffled
	}
	rows, total, err := r.table.List(ctx, order, int(page-1)*int(size), int(size))
	if err != nil {
		return nil, nil, statusOf("the list of "+r.href, err)
	}
	meta.Total = int32(total)
	messages := make([]*M, len(rows))
	for i, row := range rows {
		messages[i] = r.message(row)
	}
	return messages, meta, nil
}

// pad makes a response larger when a fault asks for it, in a field that no client
// knows.
func (r *resource[R, M]) pad(response proto.Message) {
	size := r.Faults.OversizeBytes()
	if size == 0 {
		return
	}
	padding := protowire.AppendTag(nil, paddingField, protowire.BytesType)
	response.ProtoReflect().SetUnknown(protowire.AppendBytes(padding, make([]byte, size)))
}

func (r *resource[R, M]) publish(kind events.Type, id string) {
	r.Events.Publish(events.Event{Kind: r.kind, Type: kind, ID: id})
}

// watch sends the events of the kind until the client goes or the broker ends the
// subscription, which is a clean end. Nothing is sent before the first event, and
// the row is read when its event is sent: it may be newer than the event, and an
// event of a row that is gone is skipped.
func (r *resource[R, M]) watch(ctx context.Context, send func(kind ambientv1.EventType, message *M, id string) error) error {
	subscription, err := subscriptionOf(ctx, r.Events)
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	defer subscription.Cancel()
	service := identity.FromContext(ctx).Service
	for {
		var event events.Event
		var open bool
		select {
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case event, open = <-subscription.Events():
			if !open {
				return nil
			}
		}
		if event.Kind != r.kind || !service {
			continue
		}
		var message *M
		if event.Type != events.Deleted {
			row, err := r.table.Get(ctx, event.ID)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return statusOf(r.name(event.ID), err)
			}
			message = r.message(row)
		}
		r.Faults.HoldMessage(ctx)
		if err := send(wireTypes[event.Type], message, event.ID); err != nil {
			return err
		}
	}
}

var wireTypes = map[events.Type]ambientv1.EventType{
	events.Created: ambientv1.EventType_EVENT_TYPE_CREATED,
	events.Updated: ambientv1.EventType_EVENT_TYPE_UPDATED,
	events.Deleted: ambientv1.EventType_EVENT_TYPE_DELETED,
}

// set changes a field for which the request has a value; absence leaves it alone,
// so that nothing can ever be cleared.
func set[T any](field **T, value *T) {
	if value != nil {
		*field = value
	}
}
