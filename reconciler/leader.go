package reconciler

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/leadership/calm"
)

// errLeadLost ends all work: what it knows may be out of date, and another may
// lead.
var errLeadLost = errors.New("the lease was lost")

// lead runs work while this process holds the lease. When ctx ends, work is given
// the time to finish what is under way, and then the lease is released, so that
// the next leader need not wait for it to expire. When the lease is lost, the
// context of work ends at once.
func lead(ctx context.Context, o Options, kube kubernetes.Interface, probes *probes, work func(ctx context.Context) error) error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("naming this process: %w", err)
	}
	identity := host + "_" + uuid.NewString()
	probes.waitFor("the lease")
	holding, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	started := make(chan struct{})
	lock := newLock(&resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: o.LeaseNamespace, Name: o.LeaseName},
		Client:     kube.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
	}, o.RenewDeadline)
	defer lock.stop()
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name:            o.LeaseName,
		Lock:            lock,
		LeaseDuration:   o.LeaseDuration,
		RenewDeadline:   o.RenewDeadline,
		RetryPeriod:     o.RetryPeriod,
		ReleaseOnCancel: true,
		WatchDog:        probes.election,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { close(started) },
			OnStoppedLeading: func() {},
			OnNewLeader: func(leader string) {
				// A standby is ready: it does what it is there for.
				if leader != identity {
					probes.waitFor("")
				}
			},
		},
	})
	if err != nil {
		return fmt.Errorf("preparing leader election: %w", err)
	}
	probes.election.SetLeaderElection(elector)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		elector.Run(klog.NewContext(holding, calm.Logger(klog.FromContext(ctx))))
	}()
	defer func() {
		release()
		<-ended
	}()

	select {
	case <-ctx.Done():
		return nil
	case <-ended:
		return errLeadLost
	case <-started:
	}
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	done := make(chan error, 1)
	go func() { done <- work(working) }()
	select {
	case err := <-done:
		return err
	case <-ended:
	case <-lock.lost:
	}
	stop(errLeadLost)
	return errors.Join(errLeadLost, <-done)
}
