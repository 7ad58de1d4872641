package storage

import (
	"context"
	"fmt"
	"reflect"
	"sort"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"
	apistorage "k8s.io/apiserver/pkg/storage"

	"github.com/ambient-code/ambient-kube/apiserver/journal"
)

type entry = journal.Entry[runtime.Object]

// readPatience is how long a read that the journal may answer, too, waits for the
// upstream. A person waits for it.
const readPatience = time.Second

// Get implements storage.Interface. Without a resourceVersion it reads through to
// the upstream; if that does not answer within readPatience, the journal does as long
// as it may claim to be current, unless reads are verified.
func (s *Store) Get(ctx context.Context, key string, options apistorage.GetOptions, out runtime.Object) error {
	ctx, end := s.span(ctx, "Get")
	defer end()
	key, err := s.key(key, false)
	if err != nil {
		return err
	}
	if err := s.backend.Synced(); err != nil {
		return err
	}
	if options.ResourceVersion == "" {
		if err := s.readThrough(ctx, key); err != nil {
			return err
		}
	}
	found, exists := s.journal.Get(key)
	if err := s.notOlderThan(options.ResourceVersion, s.journal.Revision()); err != nil {
		return err
	}
	switch {
	case exists && s.beginsUpdate(ctx):
		existing, err := s.existing(key, found)
		if err != nil {
			return err
		}
		return give(existing, out)
	case exists:
		return give(found.Value, out)
	case options.IgnoreNotFound:
		return runtime.SetZeroValue(out)
	default:
		return apistorage.NewKeyNotFoundError(key, 0)
	}
}

// beginsUpdate tells that a read is the beginning of a dry run: the registry then
// reads the object and computes the update by itself, and has to start from the
// same object as a real update.
func (s *Store) beginsUpdate(ctx context.Context) bool {
	info, ok := request.RequestInfoFrom(ctx)
	return ok && (info.Verb == "patch" || info.Verb == "update")
}

func (s *Store) readThrough(ctx context.Context, key string) error {
	if s.options.VerifyReads {
		return s.backend.Verify(ctx, key)
	}
	brief, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	err := s.backend.Refresh(brief, key)
	if err == nil || !unreachable(err) {
		return err
	}
	// The caller's own time may have run out, then there is nobody to answer.
	if ctx.Err() != nil {
		return err
	}
	return s.backend.Current()
}

// notOlderThan returns an error if the revision is below the one that the client
// wants at least.
func (s *Store) notOlderThan(minimum string, revision uint64) error {
	wanted, err := s.versioner.ParseResourceVersion(minimum)
	if err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("invalid resource version: %v", err))
	}
	if wanted > revision {
		return apistorage.NewTooLargeResourceVersionError(wanted, revision, 0)
	}
	return nil
}

// GetList implements storage.Interface.
func (s *Store) GetList(ctx context.Context, key string, options apistorage.ListOptions, out runtime.Object) error {
	if err := s.backend.Synced(); err != nil {
		return err
	}
	if options.ResourceVersion == "" && options.Predicate.Continue == "" {
		if err := s.backend.Current(); err != nil {
			return err
		}
	}
	return s.list(ctx, key, options, out)
}

// list lists whatever the journal holds, without asking whether that is current.
func (s *Store) list(ctx context.Context, key string, options apistorage.ListOptions, out runtime.Object) error {
	prefix, err := s.key(key, options.Recursive)
	if err != nil {
		return err
	}
	itemsPointer, err := meta.GetItemsPtr(out)
	if err != nil {
		return fmt.Errorf("finding the items of the list: %w", err)
	}
	items, err := conversion.EnforcePtr(itemsPointer)
	if err != nil {
		return fmt.Errorf("finding the items of the list: %w", err)
	}
	if items.Kind() != reflect.Slice {
		return fmt.Errorf("the items of a %T are a %s, not a slice", out, items.Kind())
	}
	at, continueKey, err := apistorage.ValidateListOptions(prefix, s.versioner, options)
	if err != nil {
		return err
	}
	entries, revision, err := s.entries(prefix, uint64(at), options)
	if err != nil {
		return s.listError(err, uint64(at), continueKey, prefix)
	}
	if at == 0 {
		if err := s.notOlderThan(options.ResourceVersion, revision); err != nil {
			return err
		}
	}
	entries = entries[sort.Search(len(entries), func(i int) bool { return entries[i].Key >= continueKey }):]

	lastKey, more, err := collect(ctx, entries, options.Predicate, items)
	if err != nil {
		return err
	}
	token, remaining, err := apistorage.PrepareContinueToken(lastKey, prefix, int64(revision), int64(len(entries)), more, options)
	if err != nil {
		return err
	}
	return s.versioner.UpdateList(out, revision, token, remaining)
}

// entries returns the entries at a revision (0: now), and that revision.
func (s *Store) entries(prefix string, at uint64, options apistorage.ListOptions) ([]entry, uint64, error) {
	var entries []entry
	var err error
	revision := at
	if at > 0 {
		entries, err = s.journal.ListAt(prefix, at)
	} else {
		entries, revision = s.journal.List(prefix)
	}
	if options.Recursive {
		return entries, revision, err
	}
	for _, found := range entries {
		if found.Key == prefix {
			return []entry{found}, revision, err
		}
	}
	return nil, revision, err
}

// checkEvery is the number of objects after which a list looks whether anybody
// still waits for it.
const checkEvery = 256

// collect appends copies of the entries that match to the items until the limit
// is reached. It returns the last key that it looked at and whether entries are
// left.
func collect(ctx context.Context, entries []entry, predicate apistorage.SelectionPredicate, items reflect.Value) (lastKey string, more bool, err error) {
	everything := predicate.Empty()
	limit := int(predicate.Limit)
	expected := 0
	if everything {
		expected = len(entries)
		if limit > 0 {
			expected = min(expected, limit)
		}
	}
	items.Set(reflect.MakeSlice(items.Type(), 0, expected))
	for i, candidate := range entries {
		if limit > 0 && items.Len() >= limit {
			return lastKey, true, nil
		}
		if i%checkEvery == 0 && ctx.Err() != nil {
			return "", false, apistorage.NewTimeoutError(candidate.Key, "request did not complete within requested timeout")
		}
		lastKey = candidate.Key
		if !everything {
			if matched, err := predicate.Matches(candidate.Value); err != nil || !matched {
				continue
			}
		}
		value := reflect.ValueOf(candidate.Value.DeepCopyObject()).Elem()
		if value.Type() != items.Type().Elem() {
			return "", false, fmt.Errorf("listing %s: the object is a %s, the list is one of %s", candidate.Key, value.Type(), items.Type().Elem())
		}
		items.Set(reflect.Append(items, value))
	}
	return lastKey, false, nil
}
