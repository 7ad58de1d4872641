package conformance

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

func Test_2_9_DeletedCarriesTheIDOnly(t *testing.T) {
	w := newWorld(t)
	forEachKind(t, func(t *testing.T, kind kind) {
		events := w.watch(kind)
		id := kind.create(w)
		created := events.next(id)
		if created.kind != pb.EventType_EVENT_TYPE_CREATED || created.object == nil {
			t.Errorf("the first event is %s with object %v", created, created.object)
		}
		if err := kind.delete(w.ctx, w, id); err != nil {
			t.Fatal(err)
		}
		deleted := events.next(id)
		if deleted.kind != pb.EventType_EVENT_TYPE_DELETED || deleted.object != nil {
			t.Errorf("the second event is %s with object %v", deleted, deleted.object)
		}
	})
}

func Test_2_9_StatusUpdatesEmitUpdated(t *testing.T) {
	w := newWorld(t)
	events := w.watch(sessionKind)
	id := w.createSession().GetMetadata().GetId()
	events.next(id)
	w.setPhase(id, "Running")
	updated := events.next(id)
	if updated.kind != pb.EventType_EVENT_TYPE_UPDATED || updated.object.(*pb.Session).GetPhase() != "Running" {
		t.Errorf("the event is %s with %v", updated, updated.object)
	}
}

func Test_2_9_NoSnapshotAndNoHeadersBeforeTheFirstEvent(t *testing.T) {
	w := ownOrShared(t)
	forEachKind(t, func(t *testing.T, kind kind) {
		earlier := w.watch(kind)
		earlier.next(kind.create(w)) // a row that a snapshot would hold
		ctx, cancel := context.WithCancel(w.ctx)
		defer cancel()
		receive, header, err := kind.watch(ctx, w)
		if err != nil {
			t.Fatal(err)
		}
		headers := make(chan error, 1)
		go func() { headers <- header() }()
		timer := time.NewTimer(silence)
		defer timer.Stop()
		select {
		case err := <-headers:
			t.Fatalf("headers arrived on an idle stream: %v", err)
		case <-timer.C:
		}
		w.probe(kind, func() bool {
			select {
			case err := <-headers:
				if err != nil {
					t.Fatal(err)
				}
				return true
			default:
				return false
			}
		})
		if first, err := receive(); err != nil || first.kind == pb.EventType_EVENT_TYPE_UNSPECIFIED {
			t.Errorf("the first message is %s, %v", first, err)
		}
	})
}

func Test_2_9_EventsOfEarlierWritesMayArrive(t *testing.T) {
	w := newWorld(t)
	inject(t, target, faults{EventDelay: held})
	id := w.createSession().GetMetadata().GetId()
	events := w.openWatch(sessionKind)
	w.getSession(id) // begins after the watch: its stream is open now
	release(t, target)
	if got := events.next(id); got.kind != pb.EventType_EVENT_TYPE_CREATED {
		t.Errorf("the event is %s", got)
	}
}

func Test_2_9_CreateAndImmediateDeleteYieldsOnlyDeleted(t *testing.T) {
	w := newWorld(t)
	forEachKind(t, func(t *testing.T, kind kind) {
		events := w.watch(kind)
		inject(t, target, faults{EventDelay: held})
		id := kind.create(w)
		if err := kind.delete(w.ctx, w, id); err != nil {
			t.Fatal(err)
		}
		release(t, target)
		if got := events.next(id); got.kind != pb.EventType_EVENT_TYPE_DELETED {
			t.Errorf("the first event is %s", got)
		}
		events.quiet(id)
	})
}

func Test_2_10_EventsCarryTheRowAsItIsWhenSent(t *testing.T) {
	w := newWorld(t)
	events := w.watch(sessionKind)
	inject(t, target, faults{EventDelay: held})
	id := w.createSession().GetMetadata().GetId()
	w.setPhase(id, "Pending")
	w.setPhase(id, "Running")
	release(t, target)
	for _, want := range []pb.EventType{pb.EventType_EVENT_TYPE_CREATED, pb.EventType_EVENT_TYPE_UPDATED, pb.EventType_EVENT_TYPE_UPDATED} {
		got := events.next(id)
		if got.kind != want || got.object.(*pb.Session).GetPhase() != "Running" {
			t.Errorf("the event is %s with phase %q, want %s with the newest phase", got, got.object.(*pb.Session).GetPhase(), want)
		}
	}
}

func Test_2_9_EventsLostInTheServerEndNoStream(t *testing.T) {
	w := newWorld(t)
	forEachKind(t, func(t *testing.T, kind kind) {
		events := w.watch(kind)
		id := kind.create(w)
		events.next(id)
		t.Run("silence", func(t *testing.T) {
			inject(t, target, faults{Silent: true})
			if err := kind.touch(w.ctx, w, id); err != nil {
				t.Fatal(err)
			}
			events.quiet(id)
		})
		if err := kind.delete(w.ctx, w, id); err != nil {
			t.Fatal(err)
		}
		if got := events.next(id); got.kind != pb.EventType_EVENT_TYPE_DELETED {
			t.Errorf("the next event is %s: the lost one came late", got)
		}
	})
}

// pausedReader opens a watch whose client takes nothing off the connection: its
// window is small, so that the server can send no more than a few large rows.
func pausedReader(t *testing.T, w *world) (receive func() (event, error)) {
	t.Helper()
	paused := w.server.world(t, w.server.token, grpc.WithInitialWindowSize(1<<16), grpc.WithInitialConnWindowSize(1<<16))
	receive, header, err := sessionKind.watch(paused.ctx, paused)
	if err != nil {
		t.Fatal(err)
	}
	headers := make(chan error, 1)
	go func() { headers <- header() }()
	w.probe(sessionKind, func() bool { return len(headers) > 0 })
	return receive
}

// drain receives until the event that the condition names.
func drain(t *testing.T, receive func() (event, error), last func(event) bool) []event {
	t.Helper()
	var drained []event
	for {
		received, err := receive()
		if err != nil {
			t.Fatalf("the stream ended after %d events: %v", len(drained), err)
		}
		if last(received) {
			return drained
		}
		drained = append(drained, received)
	}
}

// touchMany updates an object many times, and waits now and then until the watch
// has seen all of it, because a reader that falls behind loses events as well.
func (w *world) touchMany(kind kind, clock *watching, id string, times int) {
	w.t.Helper()
	const batch = 50
	for done := 0; done < times; done += batch {
		for range batch {
			if err := kind.touch(w.ctx, w, id); err != nil {
				w.t.Fatal(err)
			}
		}
		for range batch {
			clock.next(id)
		}
	}
}

func Test_2_9_APausedReaderLosesEventsBeyond256WithoutAnError(t *testing.T) {
	w := ownOrShared(t)
	clock := w.watch(sessionKind) // is read all the time: tells when all is delivered
	receive := pausedReader(t, w)
	const updates = 600
	id := w.createSession(func(r *pb.CreateSessionRequest) { r.Prompt = proto.String(strings.Repeat("p", 20_000)) }).GetMetadata().GetId()
	clock.next(id)
	w.touchMany(sessionKind, clock, id, updates)
	marker := w.createSession().GetMetadata().GetId()
	clock.next(marker)
	// The marker is lost as well; a later one arrives once there is room again.
	var drained []event
	resumed := make(chan struct{})
	go func() {
		defer close(resumed)
		drained = drain(t, receive, func(received event) bool { return received.kind == pb.EventType_EVENT_TYPE_DELETED })
	}()
	w.probe(sessionKind, func() bool {
		if err := sessionKind.delete(w.ctx, w, marker); err != nil {
			t.Fatal(err)
		}
		select {
		case <-resumed:
			return true
		default:
			return false
		}
	})
	got := 0
	for _, received := range drained {
		if received.id == id {
			got++
		}
		if received.id == marker {
			t.Error("an event beyond the 256th arrived")
		}
	}
	if got < 256-10 || got > 256+40 {
		t.Errorf("the paused reader got %d of %d events, want about 256", got, updates+1)
	}
}

func Test_2_9_The256EventsAreSharedByAllKinds(t *testing.T) {
	w := ownOrShared(t)
	clock := w.watch(projectKind)
	receive := pausedReader(t, w)
	// Fill the connection first, so that the server cannot take events off the queue.
	large := w.createSession(func(r *pb.CreateSessionRequest) { r.Prompt = proto.String(strings.Repeat("p", 200_000)) }).GetMetadata().GetId()
	for range 3 {
		if err := sessionKind.touch(w.ctx, w, large); err != nil {
			t.Fatal(err)
		}
	}
	project := w.createProject().GetMetadata().GetId()
	clock.next(project)
	w.touchMany(projectKind, clock, project, 300)
	lost := w.createSession().GetMetadata().GetId()
	settled := w.createProject().GetMetadata().GetId()
	clock.next(settled)
	resumed := make(chan []event, 1)
	go func() {
		resumed <- drain(t, receive, func(received event) bool { return received.kind == pb.EventType_EVENT_TYPE_DELETED })
	}()
	var drained []event
	w.probe(sessionKind, func() bool {
		if err := sessionKind.delete(w.ctx, w, large); err != nil {
			t.Fatal(err)
		}
		select {
		case drained = <-resumed:
			return true
		default:
			return false
		}
	})
	if slices.ContainsFunc(drained, func(received event) bool { return received.id == lost }) {
		t.Error("the event of a session arrived although events of projects filled the queue")
	}
}

func Test_2_10_ACreateRightAfterOpeningIsSeenOnTheSameConnection(t *testing.T) {
	w := newWorld(t)
	for range 50 {
		events := w.openWatch(sessionKind)
		id := w.createSession().GetMetadata().GetId()
		events.next(id)
		events.cancel()
	}
}

func Test_2_10_AReaderThatKeepsUpSeesEverythingInTheEnd(t *testing.T) {
	w := newWorld(t)
	events := w.watch(sessionKind)
	const writers, each = 4, 50
	made := make([][]string, writers)
	var writing sync.WaitGroup
	for writer := range writers {
		writing.Go(func() {
			for range each {
				session, err := w.sessions.CreateSession(w.ctx, &pb.CreateSessionRequest{Name: "many"})
				if err != nil {
					t.Error(err)
					return
				}
				made[writer] = append(made[writer], session.GetMetadata().GetId())
			}
		})
	}
	writing.Wait()
	missing := map[string]bool{}
	for _, id := range slices.Concat(made...) {
		missing[id] = true
		w.cleanUp(func(ctx context.Context) error { return sessionKind.delete(ctx, w, id) })
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for len(missing) > 0 {
		select {
		case received, open := <-events.events:
			if !open {
				t.Fatalf("the watch ended: %v", events.failure())
			}
			delete(missing, received.id)
		case <-timer.C:
			t.Fatalf("%d of %d events never arrived", len(missing), writers*each)
		}
	}
}

func Test_2_10_UpdatedAtOfOneObjectNeverGoesBack(t *testing.T) {
	w := newWorld(t)
	events := w.watch(sessionKind)
	newest := map[string]time.Time{}
	var objects []string
	for range 4 {
		objects = append(objects, w.createSession().GetMetadata().GetId())
	}
	const updates = 40
	var writers []func() error
	for _, id := range objects {
		writers = append(writers, func() error {
			for range updates {
				if err := sessionKind.touch(w.ctx, w, id); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := errors.Join(together(writers...)...); err != nil {
		t.Fatal(err)
	}
	last := w.createSession().GetMetadata().GetId()
	for {
		var received event
		select {
		case received = <-events.events:
		case <-time.After(patience):
			t.Fatal("the last event did not arrive")
		}
		if received.id == last {
			break
		}
		session, ok := received.object.(*pb.Session)
		if !ok {
			continue
		}
		at := session.GetMetadata().GetUpdatedAt().AsTime()
		if at.Before(newest[received.id]) {
			t.Errorf("%s went back from %s to %s", received.id, newest[received.id], at)
		}
		newest[received.id] = at
	}
	for _, id := range objects {
		if newest[id].IsZero() {
			t.Errorf("no event of %s arrived", id)
		}
	}
}

func Test_2_9_SIGTERMEndsStreamsCleanly(t *testing.T) {
	server := ownServer(t, "static")
	w := server.world(t, server.token)
	var streams []*watching
	for _, kind := range kinds {
		streams = append(streams, w.watch(kind))
	}
	if err := server.stop(); err != nil {
		t.Fatal(err)
	}
	for i, stream := range streams {
		if err := stream.end(); err != nil {
			t.Errorf("the stream of %s ended with %v, want %v", kinds[i].name, err, io.EOF)
		}
	}
}
