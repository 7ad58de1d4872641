package model

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/client/informers/externalversions"
)

const (
	informers = 2
	watchers  = 3
)

// lookers are all who look on. Each has a view of its own.
type lookers struct {
	views   []*view
	stopped func() error
}

// view is what one looker was told, and whether that was in order.
type view struct {
	name  string
	model *model

	mu sync.Mutex
	// shown are the objects that are there, known all that ever were.
	shown map[types.UID]string
	known map[types.UID]uint64
	// ids are the upstream's.
	ids map[types.UID]string
	// counted is the highest number of a prompt that was seen of an entry that one
	// writer alone writes.
	counted map[types.UID]int
	// listed is the highest version of a list.
	listed uint64
}

func newView(m *model, name string) *view {
	return &view{name: name, model: m, shown: map[types.UID]string{}, known: map[types.UID]uint64{}, ids: map[types.UID]string{}, counted: map[types.UID]int{}}
}

func version(text string) uint64 {
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return number
}

// saw takes note of a state. Listed states may repeat what is known.
func (v *view) saw(session *v1alpha1.Session, listed bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now, before := version(session.ResourceVersion), v.known[session.UID]
	if now < before || now == before && !listed {
		v.model.broken("%s: %s went from version %d to %d", v.name, session.Name, before, now)
	}
	v.known[session.UID] = now
	v.shown[session.UID], v.ids[session.UID] = describe(session), session.Status.SessionID
	v.count(session)
}

// count proves that no state is older than one that was seen before: where one
// writer alone writes, numbers rise.
func (v *view) count(session *v1alpha1.Session) {
	e := v.model.entryOf(session.Status.SessionID)
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	number, err := strconv.Atoi(strings.TrimPrefix(session.Spec.Prompt, "prompt "))
	if e.contested || e.tainted || err != nil {
		return
	}
	if before := v.counted[session.UID]; number < before {
		v.model.broken("%s: %s went from prompt %d back to %d", v.name, session.Name, before, number)
	}
	v.counted[session.UID] = number
}

// lost takes note of a deletion.
func (v *view) lost(session *v1alpha1.Session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, shown := v.shown[session.UID]; !shown {
		v.model.broken("%s: %s was deleted and had not been there", v.name, session.Name)
	}
	delete(v.shown, session.UID)
	if id := session.Status.SessionID; !v.model.isDoomed(id) {
		v.model.broken("%s: %s (%s) was deleted, and nobody deleted it", v.name, session.Name, id)
	}
}

// replaced takes note of a whole list.
func (v *view) replaced(list *v1alpha1.SessionList) {
	v.mu.Lock()
	now := version(list.ResourceVersion)
	if now < v.listed {
		v.model.broken("%s: lists went from version %d to %d", v.name, v.listed, now)
	}
	v.listed = now
	gone := maps.Clone(v.shown)
	for i := range list.Items {
		delete(gone, list.Items[i].UID)
	}
	for uid := range gone {
		delete(v.shown, uid)
		if id := v.ids[uid]; !v.model.isDoomed(id) {
			v.model.broken("%s: a list lacks %s, and nobody deleted it", v.name, id)
		}
	}
	v.mu.Unlock()
	for i := range list.Items {
		v.saw(&list.Items[i], true)
	}
}

// difference compares the view with what is right.
func (v *view) difference(right map[types.UID]string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return difference(v.name, v.shown, right)
}

func difference[K comparable](name string, shown, right map[K]string) error {
	var differences []error
	for key, text := range right {
		if shown[key] != text {
			differences = append(differences, fmt.Errorf("%v is %q instead of %q", key, shown[key], text))
		}
	}
	for key, text := range shown {
		if _, found := right[key]; !found {
			differences = append(differences, fmt.Errorf("%v (%q) is there and should be gone", key, text))
		}
	}
	if len(differences) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d differences: %w", name, len(differences), errors.Join(differences[:min(len(differences), 5)]...))
}

// describe is the content of a session that every side has to agree upon, with its
// version.
func describe(session *v1alpha1.Session) string {
	return session.ResourceVersion + " | " + content(session)
}

func content(session *v1alpha1.Session) string {
	return strings.Join([]string{
		session.Status.SessionID, session.Status.ProjectID, session.Spec.DisplayName, session.Spec.Prompt, session.Spec.RepositoryURL,
		string(session.Status.Phase), session.Status.SDKSessionID,
	}, " | ")
}

func startLookers(t *testing.T, m *model, seed uint64) *lookers {
	t.Helper()
	l := &lookers{}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range watchers {
		v := newView(m, fmt.Sprintf("watcher %d", i))
		l.views = append(l.views, v)
		random := rand.New(rand.NewPCG(seed, uint64(300+i)))
		running.Go(func() { v.watchForEver(ctx, random) })
	}
	running.Go(func() { newView(m, "lister").listForEver(ctx) })
	factories := make([]externalversions.SharedInformerFactory, 0, informers)
	for i := range informers {
		v := newView(m, fmt.Sprintf("informer %d", i))
		l.views = append(l.views, v)
		factories = append(factories, v.inform(t))
	}
	stop := make(chan struct{})
	for _, factory := range factories {
		factory.Start(stop)
	}
	l.stopped = func() error {
		cancel()
		running.Wait()
		close(stop)
		for _, factory := range factories {
			factory.Shutdown()
		}
		return nil
	}
	return l
}

func (l *lookers) stop() error { return l.stopped() }

// inform makes an ordinary informer, which is not started yet.
func (v *view) inform(t *testing.T) externalversions.SharedInformerFactory {
	t.Helper()
	factory := externalversions.NewSharedInformerFactoryWithOptions(stand.Ambient, 0, externalversions.WithNamespace(v.model.project))
	informer := factory.Ambient().V1alpha1().Sessions().Informer()
	take := func(object any) {
		if session, ok := object.(*v1alpha1.Session); ok {
			// After a broken watch an informer lists, and hands out what is known.
			v.saw(session, true)
		}
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: take,
		UpdateFunc: func(last, next any) {
			// Informers know objects by name: what was deleted and made again while
			// they looked away is one update.
			before, _ := last.(*v1alpha1.Session)
			after, _ := next.(*v1alpha1.Session)
			if before != nil && after != nil && before.UID != after.UID {
				v.lost(before)
			}
			take(next)
		},
		DeleteFunc: func(object any) {
			if last, is := object.(cache.DeletedFinalStateUnknown); is {
				object = last.Obj
			}
			if session, ok := object.(*v1alpha1.Session); ok {
				v.lost(session)
			}
		},
	}); err != nil {
		t.Fatalf("adding a handler: %v", err)
	}
	return factory
}

// pause is the time between two attempts of those who look on.
func pause(ctx context.Context, duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// listForEver lists as of now, and as of any time.
func (v *view) listForEver(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		list, err := stand.Ambient.AmbientV1alpha1().Sessions(v.model.project).List(ctx, metav1.ListOptions{ResourceVersion: []string{"", "0"}[i%2]})
		if err == nil {
			v.replaced(list)
		}
		pause(ctx, 300*time.Millisecond)
	}
}

// watchForEver follows the sessions as a raw client does: it lists, watches from
// there, resumes where it was when the watch ends, and lists again when told that
// this is too old. Now and then it goes away by itself.
func (v *view) watchForEver(ctx context.Context, random *rand.Rand) {
	sessions := stand.Ambient.AmbientV1alpha1().Sessions(v.model.project)
	at := ""
	for ctx.Err() == nil {
		if at == "" {
			list, err := sessions.List(ctx, metav1.ListOptions{})
			if err != nil {
				pause(ctx, 200*time.Millisecond)
				continue
			}
			v.replaced(list)
			at = list.ResourceVersion
		}
		events, err := sessions.Watch(ctx, metav1.ListOptions{ResourceVersion: at, AllowWatchBookmarks: random.IntN(2) == 0})
		switch {
		case apierrors.IsResourceExpired(err) || apierrors.IsGone(err):
			at = ""
		case err != nil:
			pause(ctx, 200*time.Millisecond)
		default:
			at = v.follow(ctx, events, at, 50+random.IntN(500))
		}
	}
}

// follow takes events until the watch ends or enough of them have come. It returns
// from where to go on, empty if that is to be listed.
func (v *view) follow(ctx context.Context, events watch.Interface, at string, enough int) string {
	defer events.Stop()
	for range enough {
		event, open := watch.Event{}, false
		select {
		case event, open = <-events.ResultChan():
		case <-ctx.Done():
		}
		if !open {
			return at
		}
		if event.Type == watch.Error {
			if err := apierrors.FromObject(event.Object); apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
				return ""
			}
			return at
		}
		session, ok := event.Object.(*v1alpha1.Session)
		if !ok {
			v.model.broken("%s: got a %T", v.name, event.Object)
			return at
		}
		if version(session.ResourceVersion) < version(at) {
			v.model.broken("%s: events went from version %s to %s", v.name, at, session.ResourceVersion)
		}
		at = session.ResourceVersion
		v.take(event.Type, session)
	}
	return at
}

// take takes note of one event of a watch.
func (v *view) take(kind watch.EventType, session *v1alpha1.Session) {
	v.mu.Lock()
	_, shown := v.shown[session.UID]
	v.mu.Unlock()
	switch kind {
	case watch.Added:
		if shown {
			v.model.broken("%s: %s was added twice", v.name, session.Name)
		}
		v.saw(session, false)
	case watch.Modified:
		if !shown {
			v.model.broken("%s: %s was modified before it was added", v.name, session.Name)
		}
		v.saw(session, false)
	case watch.Deleted:
		v.lost(session)
	case watch.Bookmark, watch.Error:
	}
}
