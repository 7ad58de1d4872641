package feed

import (
	"context"
	"testing"
	"time"
)

// ahead is an upstream that tells which pages it is asked for.
type ahead struct {
	*upstream
	asked chan int
}

func (a ahead) List(ctx context.Context, page, size int) ([]record, int, error) {
	a.asked <- page
	return a.upstream.List(ctx, page, size)
}

// slow is a publisher that takes its time until it may go on.
type slow struct {
	began chan struct{}
	goOn  chan struct{}
}

func (s slow) Publish(string, record) {
	s.began <- struct{}{}
	<-s.goOn
}

func (s slow) Withdraw(string) {}

// A first synchronisation of 100,000 rows is as long as it takes the upstream to
// list them, not that and the time to fold them in.
func TestTheNextPageIsAskedForWhileOneIsFoldedIn(t *testing.T) {
	source := ahead{upstream: newUpstream("a", "b"), asked: make(chan int, 3)}
	publisher := slow{began: make(chan struct{}), goOn: make(chan struct{})}
	feed, err := New[record](source, publisher, Options{Name: "records", PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := feed.pass(t.Context())
		done <- err
	}()
	<-publisher.began
	patience := time.After(10 * time.Second)
	for page := 0; page < 2; {
		select {
		case page = <-source.asked:
		case <-patience:
			t.Fatalf("page 2 is not asked for while page 1 is folded in")
		}
	}
	close(publisher.goOn)
	<-publisher.began
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if rows := feed.Len(); rows != 2 {
		t.Errorf("the listing left %d rows of 2", rows)
	}
}
