// Package queue runs a reconcile function over keys: level-triggered, each key in
// order and by one worker at a time, with retries that never end.
//
// It owns workers, back-off and the metrics of both. It must not know what a key
// stands for.
package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

// Reconcile brings the world in line with what is wanted for a key. A positive
// duration asks for another pass after that time; an error asks for one after a
// pause that grows.
type Reconcile[K comparable] func(ctx context.Context, key K) (time.Duration, error)

// Options say how a queue works.
type Options struct {
	// Name is the queue's name in logs and metrics.
	Name string
	// Workers is how many keys are worked on at a time; at least 1.
	Workers int
	// BaseDelay is the pause after the first failure of a key, which doubles with
	// each further one up to MaxDelay. Defaults: 20 ms and one minute.
	BaseDelay, MaxDelay time.Duration
	// Metrics receives the queue's metrics; nil for none.
	Metrics *Metrics
}

// Queue holds the keys that wait for their reconcile function.
type Queue[K comparable] struct {
	name      string
	workers   int
	reconcile Reconcile[K]
	items     workqueue.TypedRateLimitingInterface[K]

	mutex sync.Mutex
	// unsettled holds, for each key that waits, is worked on or failed, since
	// when it has been so.
	unsettled map[K]time.Time
}

// New returns a queue that works on nothing until it is run. It must be stopped in any
// case.
func New[K comparable](options Options, reconcile Reconcile[K]) *Queue[K] {
	limiter := &backoff[K]{
		base:     options.BaseDelay,
		max:      options.MaxDelay,
		failures: map[K]int{},
	}
	if limiter.base <= 0 {
		limiter.base = 20 * time.Millisecond
	}
	if limiter.max <= 0 {
		limiter.max = time.Minute
	}
	config := workqueue.TypedRateLimitingQueueConfig[K]{Name: options.Name}
	if options.Metrics != nil {
		config.MetricsProvider = options.Metrics
	}
	q := &Queue[K]{
		name:      options.Name,
		workers:   max(1, options.Workers),
		reconcile: reconcile,
		items:     workqueue.NewTypedRateLimitingQueueWithConfig(limiter, config),
		unsettled: map[K]time.Time{},
	}
	if options.Metrics != nil {
		options.Metrics.WatchAge(options.Name, q.Age)
	}
	return q
}

// Add asks for a pass over key as soon as a worker is free. A key that waits
// already is not added twice; one that is worked on gets another pass.
func (q *Queue[K]) Add(key K) {
	q.mutex.Lock()
	if _, known := q.unsettled[key]; !known {
		q.unsettled[key] = time.Now()
	}
	q.mutex.Unlock()
	q.items.Add(key)
}

// AddAfter asks for a pass over key after a pause, at the earliest.
func (q *Queue[K]) AddAfter(key K, pause time.Duration) {
	q.items.AddAfter(key, pause)
}

// Waiting returns how many keys wait for a worker.
func (q *Queue[K]) Waiting() int { return q.items.Len() }

// Age returns how long the key that has been unsettled longest has been so: 0
// when all is done.
func (q *Queue[K]) Age() time.Duration {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	var oldest time.Duration
	for _, since := range q.unsettled {
		oldest = max(oldest, time.Since(since))
	}
	return oldest
}

// Run works on keys until ctx ends. Passes that are under way then are finished
// with the context work, which the caller ends if they take too long. Run returns
// when the last worker has.
func (q *Queue[K]) Run(ctx, work context.Context) {
	var workers sync.WaitGroup
	for range q.workers {
		workers.Go(func() {
			for q.next(ctx, work) {
			}
		})
	}
	<-ctx.Done()
	q.Stop()
	workers.Wait()
}

// Stop ends what a queue does of its own from the moment it is made, also if it was never
// run. What is added afterwards is ignored. It may be called again.
func (q *Queue[K]) Stop() { q.items.ShutDown() }

func (q *Queue[K]) next(ctx, work context.Context) bool {
	key, shutdown := q.items.Get()
	if shutdown {
		return false
	}
	defer q.items.Done(key)
	if ctx.Err() != nil {
		return true
	}
	logger := klog.FromContext(work).WithValues("queue", q.name, "key", key)
	again, err := q.reconcile(klog.NewContext(work, logger), key)
	if err != nil {
		q.fail(logger, key, err)
		return true
	}
	q.items.Forget(key)
	q.mutex.Lock()
	delete(q.unsettled, key)
	q.mutex.Unlock()
	if again > 0 {
		q.items.AddAfter(key, again)
	}
	return true
}

func (q *Queue[K]) fail(logger klog.Logger, key K, err error) {
	q.mutex.Lock()
	if _, known := q.unsettled[key]; !known {
		q.unsettled[key] = time.Now()
	}
	q.mutex.Unlock()
	// A conflict is how optimistic writes find out that they looked too early.
	if apierrors.IsConflict(err) {
		logger.V(2).Info("Looked too early, will look again", "reason", err.Error())
	} else if !errors.Is(err, context.Canceled) {
		logger.Info("Pass failed, will be repeated", "failures", q.items.NumRequeues(key)+1, "err", err.Error())
	}
	if seconds, asked := apierrors.SuggestsClientDelay(err); asked && seconds > 0 {
		q.items.AddAfter(key, jitter(time.Duration(seconds)*time.Second))
		return
	}
	q.items.AddRateLimited(key)
}

// backoff doubles the pause of a key with each failure and spreads it, so that
// keys that failed together do not come back together.
type backoff[K comparable] struct {
	base, max time.Duration

	mutex    sync.Mutex
	failures map[K]int
}

var _ workqueue.TypedRateLimiter[string] = (*backoff[string])(nil)

// When returns the pause before the next try of key and counts a failure.
func (b *backoff[K]) When(key K) time.Duration {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	failures := b.failures[key]
	b.failures[key] = failures + 1
	pause := b.max
	if failures < 30 {
		pause = min(b.max, b.base<<failures)
	}
	return jitter(pause)
}

// Forget ends the row of failures of key.
func (b *backoff[K]) Forget(key K) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	delete(b.failures, key)
}

// NumRequeues returns how often key failed in a row.
func (b *backoff[K]) NumRequeues(key K) int {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.failures[key]
}

// jitter returns pause plus up to a quarter of it.
func jitter(pause time.Duration) time.Duration {
	return pause + time.Duration(rand.Int64N(int64(pause)/4+1))
}
