package epoch_test

import (
	"context"
	"errors"
	"strconv"
	"sync"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

// comparing adds to the fake client what a real server does and it does not: an
// update that carries a resourceVersion must carry that of the present state.
type comparing struct {
	coordinationclient.LeaseInterface
	mu      sync.Mutex
	version int
}

func (c *comparing) Create(ctx context.Context, lease *coordinationv1.Lease, options metav1.CreateOptions) (*coordinationv1.Lease, error) {
	return c.write(lease, func(stamped *coordinationv1.Lease) (*coordinationv1.Lease, error) {
		return c.LeaseInterface.Create(ctx, stamped, options)
	})
}

func (c *comparing) Update(ctx context.Context, lease *coordinationv1.Lease, options metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	return c.write(lease, func(stamped *coordinationv1.Lease) (*coordinationv1.Lease, error) {
		if version := lease.ResourceVersion; version != "" && version != strconv.Itoa(c.version) {
			return nil, apierrors.NewConflict(coordinationv1.Resource("leases"), lease.Name, errors.New("it has been changed"))
		}
		return c.LeaseInterface.Update(ctx, stamped, options)
	})
}

// write stamps the lease with the next version, which a refused write does not use up.
func (c *comparing) write(lease *coordinationv1.Lease, send func(stamped *coordinationv1.Lease) (*coordinationv1.Lease, error)) (*coordinationv1.Lease, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamped := lease.DeepCopy()
	stamped.ResourceVersion = strconv.Itoa(c.version + 1)
	written, err := send(stamped)
	if err == nil {
		c.version++
	}
	return written, err
}
