package conformance

import (
	"context"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// readAll reads all pages of the given size and returns the ids in their order and
// the total of the last page; between is called after each page.
func readAll(t *testing.T, w *world, kind kind, size int32, between func(page int32)) (found []string, total int32) {
	t.Helper()
	for page := int32(1); ; page++ {
		pageIDs, meta, err := kind.list(w.ctx, w, page, size)
		if err != nil {
			t.Fatal(err)
		}
		found, total = append(found, pageIDs...), meta.GetTotal()
		if len(pageIDs) < int(size) {
			return found, total
		}
		if between != nil {
			between(page)
		}
	}
}

func Test_2_7_PagesAreCountedFrom1AndLessIs1(t *testing.T) {
	w := newWorld(t)
	forEachKind(t, func(t *testing.T, kind kind) {
		for range 3 {
			kind.create(w)
		}
		first, meta, err := kind.list(w.ctx, w, 1, 2)
		if err != nil || len(first) != 2 || meta.GetPage() != 1 || meta.GetSize() != 2 {
			t.Fatalf("page 1 = %v, %v, %v", first, meta, err)
		}
		for _, page := range []int32{0, -1} {
			again, meta, err := kind.list(w.ctx, w, page, 2)
			if err != nil || !slices.Equal(again, first) || meta.GetPage() != 1 {
				t.Errorf("page %d = %v, %v, %v; want page 1, %v", page, again, meta, err, first)
			}
		}
		second, _, err := kind.list(w.ctx, w, 2, 2)
		if err != nil || slices.Contains(second, first[0]) || slices.Contains(second, first[1]) {
			t.Errorf("page 2 = %v, %v repeats page 1, %v", second, err, first)
		}
	})
}

func Test_2_7_SizeOutOf1To500Is20(t *testing.T) {
	w := newWorld(t)
	forEachKind(t, func(t *testing.T, kind kind) {
		for range 25 {
			kind.create(w)
		}
		for size, want := range map[int32]int{0: 20, -1: 20, 501: 20, 65_500: 20, 1: 1, 21: 21} {
			found, meta, err := kind.list(w.ctx, w, 1, size)
			if err != nil || len(found) != want || meta.GetSize() != int32(want) {
				t.Errorf("size %d gives %d items, size %d, %v; want %d", size, len(found), meta.GetSize(), err, want)
			}
		}
		if _, meta, err := kind.list(w.ctx, w, 1, 500); err != nil || meta.GetSize() != 500 {
			t.Errorf("size 500 became %d, %v", meta.GetSize(), err)
		}
	})
}

func Test_2_7_TotalCountsLiveRowsAndPastTheEndIsEmpty(t *testing.T) {
	w := ownOrShared(t)
	forEachKind(t, func(t *testing.T, kind kind) {
		_, before, err := kind.list(w.ctx, w, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		kept, gone := kind.create(w), kind.create(w)
		if err := kind.delete(w.ctx, w, gone); err != nil {
			t.Fatal(err)
		}
		found, total := readAll(t, w, kind, 500, nil)
		if !slices.Contains(found, kept) || slices.Contains(found, gone) {
			t.Errorf("the list has the live row: %t, the deleted row: %t", slices.Contains(found, kept), slices.Contains(found, gone))
		}
		if want := before.GetTotal() + 1; total != want || len(found) != int(want) {
			t.Errorf("total = %d with %d items, want %d", total, len(found), want)
		}
		past, meta, err := kind.list(w.ctx, w, 1000, 500)
		if err != nil || len(past) != 0 || meta.GetTotal() != total || meta.GetPage() != 1000 {
			t.Errorf("past the end: %d items, %v, %v", len(past), meta, err)
		}
	})
}

func Test_2_7_AnUpdatedRowMoves(t *testing.T) {
	w := ownOrShared(t)
	forEachKind(t, func(t *testing.T, kind kind) {
		for range 3 {
			kind.create(w)
		}
		before, _ := readAll(t, w, kind, 500, nil)
		first := before[0]
		if err := kind.touch(w.ctx, w, first); err != nil {
			t.Fatal(err)
		}
		after, _ := readAll(t, w, kind, 500, nil)
		if after[0] == first {
			t.Errorf("the updated row %s kept its place", first)
		}
		slices.Sort(before)
		slices.Sort(after)
		if !slices.Equal(before, after) {
			t.Errorf("the rows were %v and are %v", before, after)
		}
	})
}

func Test_2_7_PagingWhileRowsMoveMissesAndRepeatsThemThoughTheTotalIsRight(t *testing.T) {
	w := ownOrShared(t)
	const rows, size = 60, 20
	for range rows {
		w.createSession()
	}
	_, want := readAll(t, w, sessionKind, 500, nil)
	var firstPage []string
	found, total := readAll(t, w, sessionKind, size, func(page int32) {
		if page != 1 {
			return
		}
		var err error
		if firstPage, _, err = sessionKind.list(w.ctx, w, 1, size); err != nil {
			t.Fatal(err)
		}
		for _, id := range firstPage[:10] {
			w.setPhase(id, "Running")
		}
	})
	unique := slices.Compact(slices.Sorted(slices.Values(found)))
	if total != want || len(found) != int(want) {
		t.Errorf("total = %d with %d items, want %d", total, len(found), want)
	}
	if repeated := len(found) - len(unique); repeated != 10 {
		t.Errorf("%d rows were repeated and as many missed, want 10", repeated)
	}
}

func Test_2_7_OnePageOf500IsWhole(t *testing.T) {
	w := ownOrShared(t)
	var made []string
	for range 40 {
		made = append(made, w.createSession().GetMetadata().GetId())
	}
	_, total := readAll(t, w, sessionKind, 500, nil)
	if total > 500 {
		t.Skipf("%s needs a server with at most 500 sessions", t.Name())
	}
	ctx, cancel := context.WithCancel(w.ctx)
	mover := make(chan error, 1)
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := sessionKind.touch(w.ctx, w, made[i%len(made)]); err != nil {
				mover <- err
				return
			}
		}
		mover <- nil
	}()
	for range 50 {
		found, _, err := sessionKind.list(w.ctx, w, 1, 500)
		if err != nil {
			t.Fatal(err)
		}
		unique := slices.Compact(slices.Sorted(slices.Values(found)))
		if len(found) != int(total) || len(unique) != int(total) {
			t.Errorf("one page has %d rows, %d of them different, want %d", len(found), len(unique), total)
		}
	}
	cancel()
	if err := <-mover; err != nil {
		t.Error(err)
	}
}

func Test_2_10_AListTellsTheTruthAtOnceWhileTheWatchLags(t *testing.T) {
	w := ownOrShared(t)
	server := w.server
	events := w.watch(sessionKind)
	inject(t, server, faults{EventsPerSecond: 20})
	var made []string
	for range 40 {
		made = append(made, w.createSession().GetMetadata().GetId())
	}
	found, _ := readAll(t, w, sessionKind, 500, nil)
	for _, id := range made {
		if !slices.Contains(found, id) {
			t.Errorf("the list lacks %s, whose creation was answered", id)
		}
	}
	if arrived := len(events.events); arrived >= len(made) {
		t.Errorf("%d events arrived before the list did: the watch does not lag", arrived)
	}
	for _, id := range made {
		events.next(id) // all arrive in the end
	}
}

func Test_2_10_IDsAndContentAreUnchangedAfterARestartAndNothingIsReplayed(t *testing.T) {
	folder := t.TempDir()
	first := serverIn(t, folder, "static")
	w := first.world(t, first.token)
	session := w.createSession(func(r *pb.CreateSessionRequest) { r.Prompt = proto.String("kept") })
	before := w.getSession(session.GetMetadata().GetId())
	if err := first.kill(); err != nil {
		t.Fatal(err)
	}
	second := serverIn(t, folder, "static")
	w = second.world(t, second.token)
	events := w.watch(sessionKind)
	if after := w.getSession(before.GetMetadata().GetId()); !proto.Equal(before, after) {
		t.Errorf("the session was\n%v\nand is\n%v", before, after)
	}
	events.quiet(before.GetMetadata().GetId())
}
