package backend

import (
	"context"

	"k8s.io/client-go/util/workqueue"
)

// drain does the work of the queue, one item after the other, until the context ends.
func drain[T comparable](ctx context.Context, queue workqueue.TypedInterface[T], work func(item T)) {
	stop := context.AfterFunc(ctx, queue.ShutDown)
	defer stop()
	for {
		item, ended := queue.Get()
		if ended {
			return
		}
		work(item)
		queue.Done(item)
	}
}
