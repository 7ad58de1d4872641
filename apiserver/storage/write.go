package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	apistorage "k8s.io/apiserver/pkg/storage"

	"github.com/ambient-code/ambient-kube/apiserver/journal"
)

// Create implements storage.Interface. Objects of the upstream do not expire: the
// time to live is ignored.
func (s *Store) Create(ctx context.Context, key string, object, out runtime.Object, _ uint64) error {
	ctx, end := s.span(ctx, "Create")
	defer end()
	key, err := s.key(key, false)
	if err != nil {
		return err
	}
	if revision, err := s.versioner.ObjectResourceVersion(object); err == nil && revision != 0 {
		return apistorage.ErrResourceVersionSetOnCreate
	}
	object = object.DeepCopyObject()
	if err := s.versioner.PrepareObjectForStorage(object); err != nil {
		return fmt.Errorf("preparing %s for storage: %w", key, err)
	}
	if err := s.backend.Synced(); err != nil {
		return err
	}
	return s.locked(ctx, key, func(_ entry, exists bool) error {
		if exists {
			return apistorage.NewKeyExistsError(key, 0)
		}
		return s.create(ctx, key, object, out)
	})
}

// create makes the object and answers with it. The caller holds the key's lock.
func (s *Store) create(ctx context.Context, key string, object, out runtime.Object) error {
	before := s.journal.Revision()
	if err := s.backend.Create(ctx, key, object); err != nil {
		return err
	}
	return s.answer(key, before, out)
}

// Delete implements storage.Interface. The suggestion is ignored: the journal is
// at least as fresh as any cache, and every write reads afresh.
func (s *Store) Delete(
	ctx context.Context, key string, out runtime.Object, preconditions *apistorage.Preconditions,
	validateDeletion apistorage.ValidateObjectFunc, _ runtime.Object, options apistorage.DeleteOptions,
) error {
	ctx, end := s.span(ctx, "Delete")
	defer end()
	key, err := s.key(key, false)
	if err != nil {
		return err
	}
	if options.ExpectTransformOrDecodeError {
		// Nothing is stored encoded here, so no object is ever unreadable.
		return apistorage.NewInvalidObjError(key, "unsafe deletion is not allowed because the object is decodable from storage")
	}
	return s.change(ctx, key, false, func(current entry, _ bool) (apply, error) {
		existing := current.Value.DeepCopyObject()
		if err := preconditions.Check(key, existing); err != nil {
			return apply{}, err
		}
		if err := validateDeletion(ctx, existing); err != nil {
			return apply{}, err
		}
		return apply{do: func() error { return s.delete(ctx, key, current, out) }}, nil
	})
}

// delete removes the object and answers with its last state, stamped with the
// revision of the deletion. The caller holds the key's lock.
func (s *Store) delete(ctx context.Context, key string, current entry, out runtime.Object) error {
	if err := s.backend.Delete(ctx, key, current.Value.DeepCopyObject()); err != nil {
		return err
	}
	events, _, err := s.journal.Since(current.Revision)
	if err != nil && !errors.Is(err, journal.ErrCompacted) {
		return fmt.Errorf("looking for the deletion of %s: %w", key, err)
	}
	for _, event := range events {
		if event.Key == key && event.Type == journal.Deleted {
			return give(event.Value, out)
		}
	}
	// The log is bounded: under a flood of events it may have lost the deletion.
	if _, exists := s.journal.Get(key); exists {
		return apistorage.NewInternalError(fmt.Errorf("%s was deleted upstream but is still there", key))
	}
	last := current.Value.DeepCopyObject()
	if err := s.versioner.UpdateObject(last, s.journal.Revision()); err != nil {
		return fmt.Errorf("stamping the deleted %s: %w", key, err)
	}
	return give(last, out)
}

// GuaranteedUpdate implements storage.Interface. The suggestion is ignored, as in
// Delete, and so is the time to live.
func (s *Store) GuaranteedUpdate(
	ctx context.Context, key string, destination runtime.Object, ignoreNotFound bool,
	preconditions *apistorage.Preconditions, tryUpdate apistorage.UpdateFunc, _ runtime.Object,
) error {
	ctx, end := s.span(ctx, "GuaranteedUpdate")
	defer end()
	key, err := s.key(key, false)
	if err != nil {
		return err
	}
	return s.change(ctx, key, ignoreNotFound, func(current entry, exists bool) (apply, error) {
		existing := s.options.NewFunc()
		var err error
		if exists {
			if existing, err = s.existing(key, current); err != nil {
				return apply{}, err
			}
		}
		// tryUpdate is free to change what it is given.
		reference := existing.DeepCopyObject()
		if err := preconditions.Check(key, existing); err != nil {
			return apply{}, err
		}
		updated, _, err := tryUpdate(existing, apistorage.ResponseMeta{ResourceVersion: current.Revision})
		if err != nil {
			return apply{}, err
		}
		updated = updated.DeepCopyObject()
		for _, object := range []runtime.Object{reference, updated} {
			if err := s.versioner.PrepareObjectForStorage(object); err != nil {
				return apply{}, fmt.Errorf("preparing %s for storage: %w", key, err)
			}
		}
		if !exists {
			return apply{do: func() error { return s.create(ctx, key, updated, destination) }}, nil
		}
		if s.options.Settle != nil {
			if err := s.options.Settle(reference, updated); err != nil {
				return apply{}, fmt.Errorf("settling the update of %s: %w", key, err)
			}
		}
		unchanged, err := s.unchanged(reference, updated)
		if err != nil {
			return apply{}, fmt.Errorf("comparing %s with its update: %w", key, err)
		}
		if unchanged {
			return apply{nothing: true, do: func() error { return give(current.Value, destination) }}, nil
		}
		return apply{do: func() error {
			if err := s.versioner.UpdateObject(reference, current.Revision); err != nil {
				return fmt.Errorf("stamping %s: %w", key, err)
			}
			return s.update(ctx, key, reference, updated, destination)
		}}, nil
	})
}

// existing returns the copy of an object that an update starts from.
func (s *Store) existing(key string, current entry) (runtime.Object, error) {
	object := current.Value.DeepCopyObject()
	if s.options.PrepareExisting == nil {
		return object, nil
	}
	if err := s.options.PrepareExisting(object); err != nil {
		return nil, fmt.Errorf("preparing %s for an update: %w", key, err)
	}
	return object, nil
}

// update changes the object and answers with its new state. The caller holds the
// key's lock.
func (s *Store) update(ctx context.Context, key string, current, desired, out runtime.Object) error {
	before := s.journal.Revision()
	if err := s.backend.Update(ctx, key, current, desired); err != nil {
		return err
	}
	return s.answer(key, before, out)
}

func (s *Store) unchanged(existing, updated runtime.Object) (bool, error) {
	if s.options.Unchanged != nil {
		return s.options.Unchanged(existing, updated), nil
	}
	before, err := s.encode(existing)
	if err != nil {
		return false, err
	}
	after, err := s.encode(updated)
	if err != nil {
		return false, err
	}
	return bytes.Equal(before, after), nil
}

// answer sets out to the state of the key after a write that began at a revision.
// If somebody removed the object in the meantime, that is the last state it had.
func (s *Store) answer(key string, before uint64, out runtime.Object) error {
	if found, exists := s.journal.Get(key); exists {
		return give(found.Value, out)
	}
	events, _, err := s.journal.Since(before)
	if err != nil {
		return apistorage.NewInternalError(fmt.Errorf("looking for what became of %s: %w", key, err))
	}
	var removed runtime.Object
	for i := len(events) - 1; i >= 0; i-- {
		switch {
		case events[i].Key != key:
		case events[i].Type != journal.Deleted:
			return give(events[i].Value, out)
		case removed == nil:
			// The write itself may have taken the object away from its key.
			removed = events[i].Value
		}
	}
	if removed != nil {
		return give(removed, out)
	}
	return apistorage.NewInternalError(fmt.Errorf("%s was written upstream but is not there", key))
}

// apply is what was decided about a state.
type apply struct {
	// do carries the decision out, while the key's lock is held.
	do func() error
	// nothing says that the state is already as the client wants it, so that do
	// only answers.
	nothing bool
}

// change makes a write of a key: decide is called with a state and returns what
// to do about it; that is done once the state has proved to be the upstream's own,
// under the key's lock. If it has not, decide is called again with the newer one.
//
// decide runs admission, which may call out and even write the same object, so it
// must not run under the lock. It starts from the journal without asking the
// upstream: in most cases that is right and the write costs one reading. A write
// that changes nothing costs none while the journal is served as current: it is
// answered as if it had come just before what the upstream may have changed since.
func (s *Store) change(ctx context.Context, key string, mayBeAbsent bool, decide func(current entry, exists bool) (apply, error)) error {
	if err := s.backend.Synced(); err != nil {
		return err
	}
	current, exists := s.journal.Get(key)
	fresh := false
	for {
		if !exists && !fresh {
			if err := s.backend.Refresh(ctx, key); err != nil {
				return err
			}
			current, exists = s.journal.Get(key)
			fresh = true
		}
		if !exists && !mayBeAbsent {
			return apistorage.NewKeyNotFoundError(key, 0)
		}
		carryOut, err := decide(current, exists)
		if err != nil {
			if fresh {
				return err
			}
			decidedAt := current.Revision
			if refreshErr := s.backend.Refresh(ctx, key); refreshErr != nil {
				return refreshErr
			}
			current, exists = s.journal.Get(key)
			fresh = true
			if exists && current.Revision == decidedAt {
				return err
			}
			continue
		}
		if carryOut.nothing && !fresh && !s.options.VerifyReads && s.backend.Current() == nil {
			return carryOut.do()
		}
		done := false
		err = s.locked(ctx, key, func(now entry, nowExists bool) error {
			if nowExists == exists && now.Revision == current.Revision {
				done = true
				return carryOut.do()
			}
			current, exists, fresh = now, nowExists, true
			return nil
		})
		if done || err != nil {
			return err
		}
	}
}

// locked calls do with the state that the upstream holds just now, while no other
// writer of this key is at work.
func (s *Store) locked(ctx context.Context, key string, do func(now entry, exists bool) error) error {
	unlock, err := s.backend.Lock(ctx, key)
	if errors.Is(err, context.DeadlineExceeded) {
		return apierrors.NewTimeoutError(fmt.Sprintf("other writes of %s took too long", key), 1)
	}
	if err != nil {
		return fmt.Errorf("waiting for other writes of %s: %w", key, err)
	}
	defer unlock()
	if err := s.backend.Refresh(ctx, key); err != nil {
		return err
	}
	return do(s.journal.Get(key))
}
