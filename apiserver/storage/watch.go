package storage

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/endpoints/request"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/util/flowcontrol"

	"github.com/ambient-code/ambient-kube/apiserver/journal"
)

const (
	// progressInterval is the time after which a watch that wants progress notes
	// gets one unasked.
	progressInterval = 5 * time.Second
	// watchBuffer is the number of events that wait for the receiver of a watch.
	watchBuffer = 100
)

// Watch implements storage.Interface. The watch begins at a revision that is
// fixed before Watch returns, and ends only when it is stopped, its context ends,
// or it falls further behind than the journal remembers.
func (s *Store) Watch(ctx context.Context, key string, options apistorage.ListOptions) (watch.Interface, error) {
	prefix, err := s.key(key, options.Recursive)
	if err != nil {
		return nil, err
	}
	from, err := s.versioner.ParseResourceVersion(options.ResourceVersion)
	if err != nil {
		return nil, err
	}
	if err := s.backend.Synced(); err != nil {
		return nil, err
	}
	w := &watcher{
		store:   s,
		prefix:  prefix,
		options: options,
		at:      from,
		result:  make(chan watch.Event, watchBuffer),
	}
	if err := w.begin(); err != nil {
		return failedWatch(err), nil
	}
	if options.ProgressNotify {
		w.asked = s.progress.given()
	}
	w.ctx, w.cancel = context.WithCancel(ctx)
	detach := context.AfterFunc(s.stopped, w.cancel)
	s.follow(func() {
		defer close(w.result)
		defer w.cancel()
		defer detach()
		w.run()
	})
	// Flow control counts a watch as expensive until it has caught up, which takes
	// no time here.
	flowcontrol.WatchInitialized(ctx)
	return w, nil
}

// follow runs a watch in a goroutine that Stop waits for. After Stop, the watch
// finds its context ended and runs to its end before follow returns.
func (s *Store) follow(run func()) {
	s.stopping.Lock()
	defer s.stopping.Unlock()
	if s.stopped.Err() != nil {
		run()
		return
	}
	s.watching.Go(run)
}

// failedWatch returns a watch that says why it failed and ends: once a watch is
// admitted, clients expect errors as events.
func failedWatch(err error) watch.Interface {
	result := make(chan watch.Event, 1)
	result <- errorEvent(err)
	close(result)
	return watch.NewProxyWatcher(result)
}

func errorEvent(err error) watch.Event {
	status, ok := err.(apierrors.APIStatus)
	if !ok {
		status = apierrors.NewInternalError(err)
	}
	object := status.Status()
	return watch.Event{Type: watch.Error, Object: &object}
}

// watcher follows the journal for one receiver.
type watcher struct {
	store   *Store
	prefix  string
	options apistorage.ListOptions
	ctx     context.Context
	cancel  context.CancelFunc
	result  chan watch.Event

	// initial are the objects to send before any event.
	initial []entry
	// at is the revision up to which everything has been sent.
	at uint64
	// asked is closed by the next request for progress; nil if none is wanted.
	asked <-chan struct{}
}

// Stop implements watch.Interface.
func (w *watcher) Stop() { w.cancel() }

// ResultChan implements watch.Interface.
func (w *watcher) ResultChan() <-chan watch.Event { return w.result }

// begin fixes the revision from which events are sent, and the initial objects.
func (w *watcher) begin() error {
	s := w.store
	if !w.wantsInitial() {
		if w.at == 0 {
			w.at = s.journal.Revision()
		}
		return nil
	}
	entries, revision := s.journal.List(w.prefix)
	if w.at > revision {
		return apistorage.NewTooLargeResourceVersionError(w.at, revision, 1)
	}
	for _, candidate := range entries {
		if w.covers(candidate.Key) && w.selects(candidate.Value) {
			w.initial = append(w.initial, candidate)
		}
	}
	w.at = revision
	return nil
}

// wantsInitial tells whether the present objects are sent first: if that is asked
// for, or, by an older rule, if the watch begins at no particular revision.
func (w *watcher) wantsInitial() bool {
	if w.options.SendInitialEvents != nil {
		return *w.options.SendInitialEvents
	}
	return w.at == 0
}

// wantsInitialBookmark tells whether the end of the initial objects is marked.
func (w *watcher) wantsInitialBookmark() bool {
	return w.options.SendInitialEvents != nil && *w.options.SendInitialEvents && w.options.Predicate.AllowWatchBookmarks
}

func (w *watcher) covers(key string) bool {
	if w.options.Recursive {
		return strings.HasPrefix(key, w.prefix)
	}
	return key == w.prefix
}

func (w *watcher) selects(object runtime.Object) bool {
	if w.options.Predicate.Empty() {
		return true
	}
	matched, err := w.options.Predicate.Matches(object)
	return err == nil && matched
}

// run sends events until there is a reason to end.
func (w *watcher) run() {
	if err := w.follow(); err != nil {
		w.send(errorEvent(err))
	}
}

// follow returns nil when the receiver went away, else what to tell it.
func (w *watcher) follow() error {
	for _, present := range w.initial {
		if !w.send(watch.Event{Type: watch.Added, Object: w.own(present.Value)}) {
			return nil
		}
	}
	w.initial = nil
	if w.wantsInitialBookmark() {
		if sent, err := w.bookmark(apistorage.AnnotateInitialEventsEndBookmark); err != nil || !sent {
			return err
		}
	}

	asked := w.asked
	var due <-chan time.Time
	if w.options.ProgressNotify {
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		due = ticker.C
	}
	for {
		events, changed, err := w.store.journal.Since(w.at)
		if err != nil {
			return watchError(err)
		}
		for _, event := range events {
			if sent, err := w.forward(event); err != nil || !sent {
				return err
			}
		}
		select {
		case <-w.ctx.Done():
			return nil
		case <-changed:
			continue
		case <-asked:
			asked = w.store.progress.given()
		case <-due:
		}
		if sent, err := w.bookmark(); err != nil || !sent {
			return err
		}
	}
}

// forward sends an event if the receiver selected it, and reports whether the
// receiver is still there.
func (w *watcher) forward(event journal.Event[runtime.Object]) (bool, error) {
	translated, err := w.translate(event)
	if err != nil {
		return false, fmt.Errorf("translating the event of %s: %w", event.Key, err)
	}
	if translated != nil && !w.send(*translated) {
		return false, nil
	}
	w.at = event.Revision
	return true, nil
}

// own returns an object as the receiver may have it. A request's handler writes
// into what it encodes and gets a copy. The watch cache only reads, copies what it
// hands on, and keeps what it gets for as long as the journal does: a second copy
// of everything would cost a third of all memory.
func (w *watcher) own(object runtime.Object) runtime.Object {
	if _, requested := request.RequestInfoFrom(w.ctx); requested {
		return object.DeepCopyObject()
	}
	return object
}

// translate returns the event as the receiver sees it, nil if it sees nothing of
// it: a change may bring an object into its selection or take it out.
func (w *watcher) translate(event journal.Event[runtime.Object]) (*watch.Event, error) {
	if !w.covers(event.Key) {
		return nil, nil
	}
	before := event.Type != journal.Created && w.selects(event.Previous)
	after := event.Type != journal.Deleted && w.selects(event.Value)
	switch {
	case after && before:
		return &watch.Event{Type: watch.Modified, Object: w.own(event.Value)}, nil
	case after:
		return &watch.Event{Type: watch.Added, Object: w.own(event.Value)}, nil
	case before && event.Type == journal.Deleted:
		return &watch.Event{Type: watch.Deleted, Object: w.own(event.Value)}, nil
	case before:
		// What the receiver knew, at the revision at which it lost sight of it.
		last := event.Previous.DeepCopyObject()
		if err := w.store.versioner.UpdateObject(last, event.Revision); err != nil {
			return nil, err
		}
		return &watch.Event{Type: watch.Deleted, Object: last}, nil
	default:
		return nil, nil
	}
}

// bookmark tells the receiver the revision up to which it has seen everything,
// and reports whether it is still there.
func (w *watcher) bookmark(mark ...func(runtime.Object) error) (bool, error) {
	object := w.store.options.NewFunc()
	if err := w.store.versioner.UpdateObject(object, w.at); err != nil {
		return false, fmt.Errorf("stamping a bookmark: %w", err)
	}
	for _, apply := range mark {
		if err := apply(object); err != nil {
			return false, fmt.Errorf("marking a bookmark: %w", err)
		}
	}
	return w.send(watch.Event{Type: watch.Bookmark, Object: object}), nil
}

// send hands an event to the receiver and reports whether it is still there.
func (w *watcher) send(event watch.Event) bool {
	select {
	case w.result <- event:
		return true
	case <-w.ctx.Done():
		return false
	}
}
