package reconciler

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// Requests that hang tell the election nothing. The work ends all the same, before
// another may take the lease, and what that one took stays its own.
func TestALeaseWhoseRenewalHangsIsLostInTime(t *testing.T) {
	ctx, leases := context.Background(), coordinationv1.SchemeGroupVersion.WithResource("leases")
	kube := fake.NewClientset()
	options := NewOptions()
	options.LeaseDuration, options.RenewDeadline, options.RetryPeriod = 600*time.Millisecond, 300*time.Millisecond, 20*time.Millisecond
	var cut atomic.Bool
	mended := make(chan struct{})
	kube.PrependReactor("*", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		if !cut.Load() {
			return false, nil, nil
		}
		<-mended
		cut.Store(false)
		return true, nil, errors.New("the connection is lost")
	})
	err := lead(ctx, options, kube, newProbes(), func(ctx context.Context) error {
		cut.Store(true)
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), errLeadLost) {
			t.Errorf("the work ended for %v", context.Cause(ctx))
		}
		held, err := kube.Tracker().Get(leases, options.LeaseNamespace, options.LeaseName)
		if err != nil {
			return err
		}
		another := "another"
		lease := held.DeepCopyObject().(*coordinationv1.Lease)
		lease.Spec.HolderIdentity = &another
		err = kube.Tracker().Update(leases, lease, options.LeaseNamespace)
		close(mended)
		return err
	})
	if !errors.Is(err, errLeadLost) {
		t.Errorf("ended with %v", err)
	}
	lease, err := kube.CoordinationV1().Leases(options.LeaseNamespace).Get(ctx, options.LeaseName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if holder := lease.Spec.HolderIdentity; holder == nil || *holder != "another" {
		t.Errorf("the lease of another became %+v", lease.Spec)
	}
}
