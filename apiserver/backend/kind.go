package backend

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/feed"
	"github.com/ambient-code/ambient-kube/apiserver/upstream"
)

// retryAfterSeconds is how long a client should wait before it repeats a request
// that failed for a passing reason.
const retryAfterSeconds = 1

// slotPatience bounds how long a write waits for others to end. While the upstream is
// saturated, clients that come back wait better than requests that are held.
const slotPatience = 5 * time.Second

// kind is what the backends of all kinds have in common.
type kind[R message] struct {
	*index[R]
	succession
	resource     schema.GroupResource
	feed         *feed.Feed[R]
	locks        *keyLocks
	writes       *limiter
	maxStaleness time.Duration
	repairs      *repairs[R]
	// keeper is nil for a kind whose rows have no annotations.
	keeper *keeper[R]
	// office is what the kinds of one process have in common as a leader.
	office *office
	// fresh and settled tell once for all that the listings that a new leader has to
	// wait for are there: before it serves, and before it creates.
	fresh, settled atomic.Bool
}

// Lock serialises the writers of one key.
func (k *kind[R]) Lock(ctx context.Context, key string) (func(), error) {
	unlock, err := k.locks.lock(ctx, key)
	if err != nil {
		return nil, apierrors.NewTimeoutError(fmt.Sprintf("waiting for another write of %s: %v", key, err), retryAfterSeconds)
	}
	return unlock, nil
}

// Synced returns nil while this process leads and knows all that its forerunners
// could have shown.
func (k *kind[R]) Synced() error {
	if err := k.FirstSynced(); err != nil {
		return err
	}
	return k.upToDate()
}

// FirstSynced returns nil after the first complete synchronisation, whether this
// process leads or stands by.
func (k *kind[R]) FirstSynced() error {
	if k.feed.HasSynced() {
		return nil
	}
	_, detail := k.feed.State()
	return unavailable("the first synchronisation of %s with the upstream is not complete: %s", k.resource.Resource, detail)
}

// Current returns nil while reads may claim to be current.
func (k *kind[R]) Current() error {
	if err := k.Synced(); err != nil {
		return err
	}
	if age := k.feed.Age(); age > k.maxStaleness {
		return unavailable("%s were last confirmed by the upstream %s ago, which is more than the %s that reads may be stale; reads at resourceVersion=0 are still served",
			k.resource.Resource, age.Round(time.Second), k.maxStaleness)
	}
	return nil
}

// verified returns nil once all rows of the kind are known to be what the upstream
// held at some moment after the call. It waits no longer than reads may be stale.
func (k *kind[R]) verified(ctx context.Context) error {
	if err := k.Synced(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, k.maxStaleness)
	defer cancel()
	if err := k.feed.Verify(ctx); err != nil {
		return unavailable("%s could not be verified at the upstream: %v; reads at resourceVersion=0 are still served", k.resource.Resource, err)
	}
	return nil
}

// verifiedOne is verified for the one object at key, which refresh reads. What is
// not there then may be on its way here under a name that only a listing tells.
func (k *kind[R]) verifiedOne(ctx context.Context, key string, refresh func(context.Context, string) error) error {
	if key == "" {
		return k.verified(ctx)
	}
	if err := refresh(ctx, key); err != nil {
		return err
	}
	if _, _, found := k.lookup(key); found {
		return nil
	}
	return k.verified(ctx)
}

// Feed returns the feed of the kind.
func (k *kind[R]) Feed() *feed.Feed[R] { return k.feed }

// refreshID reads the row from the upstream and folds it in.
func (k *kind[R]) refreshID(ctx context.Context, id, name string) error {
	if err := k.feed.Refresh(ctx, id); err != nil {
		return k.statusError(err, name)
	}
	return nil
}

// call runs one writing RPC within the bounds on writes in flight.
func (k *kind[R]) call(ctx context.Context, urgent bool, name string, rpc func(context.Context) error) error {
	release, err := k.slot(ctx, urgent, name)
	if err != nil {
		return err
	}
	defer release()
	// As late as it can be: the process may have been paused, and another one lead.
	if err := k.office.mayWrite(); err != nil {
		return err
	}
	if err := rpc(ctx); err != nil {
		if upstream.Ambiguous(err) {
			// Whether the write took place is unknown: the feed finds out.
			k.feed.Relist()
		}
		return k.statusError(err, name)
	}
	return nil
}

// slot waits until one more write may be in flight; the returned function gives that
// back.
func (k *kind[R]) slot(ctx context.Context, urgent bool, name string) (release func(), err error) {
	brief, cancel := context.WithTimeout(ctx, slotPatience)
	defer cancel()
	release, err = k.writes.acquire(brief, urgent)
	switch {
	case err == nil:
		return release, nil
	case ctx.Err() != nil:
		return nil, apierrors.NewTimeoutError(fmt.Sprintf("waiting for a free slot to write to the upstream: %v", err), retryAfterSeconds)
	default:
		return nil, unavailable("%s %q: the upstream is saturated: as many writes as it takes are under way, and the turn of this one did not come within %s",
			k.resource.Resource, name, slotPatience)
	}
}

// observe folds in the answer to a write. The write has taken place, so that a
// failure to read a newer state is no failure of the write.
func (k *kind[R]) observe(ctx context.Context, row R) {
	if err := k.feed.Observe(ctx, row); err != nil {
		klog.FromContext(ctx).V(2).Info("A row that changed beside our write could not be read", "resource", k.resource, "err", err)
		k.feed.Relist()
	}
}

func (k *kind[R]) statusError(err error, name string) error {
	if errors.Is(err, feed.ErrUnconfirmed) {
		return unavailable("%s %q: %v", k.resource.Resource, name, err)
	}
	return upstream.StatusError(err, k.resource, name)
}

func unavailable(format string, arguments ...interface{}) *apierrors.StatusError {
	err := apierrors.NewServiceUnavailable(fmt.Sprintf(format, arguments...))
	err.ErrStatus.Details = withRetryAfter(err.ErrStatus.Details)
	return err
}

// withRetryAfter makes the API server answer with a Retry-After header.
func withRetryAfter(details *metav1.StatusDetails) *metav1.StatusDetails {
	if details == nil {
		details = &metav1.StatusDetails{}
	}
	details.RetryAfterSeconds = retryAfterSeconds
	return details
}
