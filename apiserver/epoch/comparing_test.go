package epoch_test

import (
	"context"
	"strconv"
	"sync"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

// comparing adds to the fake client what a real server does and it does not: an
// update must carry the resourceVersion of the present state.
type comparing struct {
	coordinationclient.LeaseInterface
	mu      sync.Mutex
	version int
}

func (c *comparing) Create(ctx context.Context, lease *coordinationv1.Lease, options metav1.CreateOptions) (*coordinationv1.Lease, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.LeaseInterface.Create(ctx, c.stamped(lease), options)
}

func (c *comparing) Update(ctx context.Context, lease *coordinationv1.Lease, options metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if lease.ResourceVersion != strconv.Itoa(c.version) {
		return nil, apierrors.NewConflict(coordinationv1.Resource("leases"), lease.Name, nil)
	}
	return c.LeaseInterface.Update(ctx, c.stamped(lease), options)
}

func (c *comparing) stamped(lease *coordinationv1.Lease) *coordinationv1.Lease {
	c.version++
	lease = lease.DeepCopy()
	lease.ResourceVersion = strconv.Itoa(c.version)
	return lease
}
