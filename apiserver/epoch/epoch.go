// Package epoch claims the epoch of a process's resource versions in a Lease, so
// that they rise over restarts, replicas and steps of the clock.
package epoch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/klog/v2"
)

// Annotation of the Lease that holds the last epoch that was claimed.
const Annotation = "ambient.io/epoch"

// ErrMalformed says that the Lease holds no number where the epoch stands: guessing
// could make revisions fall.
var ErrMalformed = errors.New("the last epoch cannot be read")

// ErrClockAhead says that this machine's clock is far ahead of the cluster's:
// revisions would run ahead for good. Another replica should claim, not this one.
var ErrClockAhead = errors.New("this machine's clock is ahead of the cluster's")

// maxAhead is how far an epoch may lie ahead of the cluster's clock.
const maxAhead = time.Hour

// origin is the time from which epochs are counted, in seconds: a Lease that was
// deleted is made up for by the clock.
var origin = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// Claimer claims epochs.
type Claimer struct {
	// Leases of the namespace that holds the Lease.
	Leases coordinationclient.LeaseInterface
	// Name of the Lease.
	Name string
	// ClusterTime returns the cluster's own idea of the time.
	ClusterTime func(ctx context.Context) (time.Time, error)
	// Now is the clock of this process.
	Now func() time.Time
}

// Claim takes the next epoch: one more than the last one claimed, and no less
// than the seconds since the beginning of 2020. It retries until it succeeds,
// the epoch is refused, or the context ends.
func (c Claimer) Claim(ctx context.Context) (uint32, error) {
	var claimed uint32
	backoff := wait.Backoff{Duration: 200 * time.Millisecond, Factor: 1.5, Jitter: 0.3, Steps: 1 << 30, Cap: 5 * time.Second}
	// Not ExponentialBackoffWithContext: that gives up once the pause has reached Cap.
	err := backoff.DelayFunc().Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		epoch, err := c.try(ctx)
		switch {
		case err == nil:
			claimed = epoch
			return true, nil
		case errors.Is(err, ErrMalformed), errors.Is(err, ErrClockAhead):
			return false, err
		default:
			klog.FromContext(ctx).Info("Claiming an epoch failed, trying again", "lease", c.Name, "err", err)
			return false, nil
		}
	})
	if err != nil {
		return 0, fmt.Errorf("claiming an epoch in lease %s: %w", c.Name, err)
	}
	return claimed, nil
}

// try makes one attempt to move the epoch on by compare-and-swap.
func (c Claimer) try(ctx context.Context) (uint32, error) {
	lease, err := c.Leases.Get(ctx, c.Name, metav1.GetOptions{})
	absent := apierrors.IsNotFound(err)
	if err != nil && !absent {
		return 0, fmt.Errorf("reading the lease: %w", err)
	}
	if absent {
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: c.Name}}
	}
	var last uint64
	if text := lease.Annotations[Annotation]; text != "" {
		if last, err = strconv.ParseUint(text, 10, 31); err != nil {
			return 0, fmt.Errorf("%w: annotation %s holds %q", ErrMalformed, Annotation, text)
		}
	}
	next := max(last+1, seconds(c.Now()))
	clusterTime, err := c.ClusterTime(ctx)
	if err != nil {
		return 0, fmt.Errorf("asking the cluster for its time: %w", err)
	}
	if next > seconds(clusterTime.Add(maxAhead)) && next > last+1 {
		return 0, fmt.Errorf("%w by more than %s", ErrClockAhead, maxAhead)
	}
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	lease.Annotations[Annotation] = strconv.FormatUint(next, 10)
	if absent {
		_, err = c.Leases.Create(ctx, lease, metav1.CreateOptions{})
	} else {
		_, err = c.Leases.Update(ctx, lease, metav1.UpdateOptions{})
	}
	if err != nil {
		return 0, fmt.Errorf("writing the lease: %w", err)
	}
	return uint32(next), nil
}

func seconds(t time.Time) uint64 { return uint64(max(0, t.Sub(origin)/time.Second)) }

// DateOf returns a function that reads the time from the Date header of the
// server's answer to a harmless request.
func DateOf(client *http.Client, host string) func(context.Context) (time.Time, error) {
	return func(ctx context.Context) (time.Time, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, host+"/version", nil)
		if err != nil {
			return time.Time{}, fmt.Errorf("making the request: %w", err)
		}
		response, err := client.Do(request)
		if err != nil {
			return time.Time{}, fmt.Errorf("asking for the version: %w", err)
		}
		if err := response.Body.Close(); err != nil {
			return time.Time{}, fmt.Errorf("asking for the version: %w", err)
		}
		date, err := http.ParseTime(response.Header.Get("Date"))
		if err != nil {
			return time.Time{}, fmt.Errorf("reading the Date header: %w", err)
		}
		return date, nil
	}
}
