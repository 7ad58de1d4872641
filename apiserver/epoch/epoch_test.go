package epoch_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/ambient-code/ambient-kube/apiserver/epoch"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// claimer claims in the leases at a time of this machine and one of the cluster.
func claimer(leases coordinationclient.LeaseInterface, here, cluster time.Time) epoch.Claimer {
	return epoch.Claimer{
		Leases: leases, Name: "epoch",
		ClusterTime: func(context.Context) (time.Time, error) { return cluster, nil },
		Now:         func() time.Time { return here },
	}
}

func claim(t *testing.T, c epoch.Claimer) uint32 {
	t.Helper()
	claimed, err := c.Claim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return claimed
}

func TestDecision4EpochsRiseWhateverTheClockAndTheLeaseDo(t *testing.T) {
	leases := fake.NewClientset().CoordinationV1().Leases("system")
	first := claim(t, claimer(leases, noon, noon))
	if want := uint32(noon.Sub(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)) / time.Second); first != want {
		t.Errorf("the first epoch is %d, want the seconds since 2020, %d", first, want)
	}
	again := claim(t, claimer(leases, noon, noon))
	if again <= first {
		t.Errorf("within the same second, %d follows %d", again, first)
	}
	yesterday := noon.Add(-24 * time.Hour)
	back := claim(t, claimer(leases, yesterday, noon))
	if back <= again {
		t.Errorf("with the clock a day back, %d follows %d", back, again)
	}
	if err := leases.Delete(t.Context(), "epoch", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	later := noon.Add(time.Minute)
	if lost := claim(t, claimer(leases, later, later)); lost <= back {
		t.Errorf("after the Lease was deleted, %d follows %d", lost, back)
	}
}

// It ends at once: as long as this replica tries, it holds the Lease that another needs.
func TestAClockFarAheadOfTheClusterClaimsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leases := fake.NewClientset().CoordinationV1().Leases("system")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if claimed, err := claimer(leases, noon.Add(2*time.Hour), noon).Claim(ctx); !errors.Is(err, epoch.ErrClockAhead) {
			t.Errorf("a clock two hours ahead claimed epoch %d: %v", claimed, err)
		}
		if _, err := leases.Get(ctx, "epoch", metav1.GetOptions{}); err == nil {
			t.Error("the refused epoch was recorded")
		}
	})
}

func TestAClaimOutlastsAnOutageOfTheCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leases := fake.NewClientset().CoordinationV1().Leases("system")
		back := time.Now().Add(time.Hour)
		patient := claimer(leases, noon, noon)
		patient.ClusterTime = func(context.Context) (time.Time, error) {
			if time.Now().Before(back) {
				return time.Time{}, errors.New("the cluster is away")
			}
			return noon, nil
		}
		claim(t, patient)
		if late := time.Since(back); late > 10*time.Second {
			t.Errorf("the epoch was claimed %s after the cluster came back", late)
		}
	})
}

func TestAnEpochThatCannotBeReadIsNotGuessed(t *testing.T) {
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "epoch", Namespace: "system", Annotations: map[string]string{epoch.Annotation: "many"}}}
	leases := fake.NewClientset(lease).CoordinationV1().Leases("system")
	if _, err := claimer(leases, noon, noon).Claim(t.Context()); !errors.Is(err, epoch.ErrMalformed) {
		t.Errorf("claiming over a malformed epoch: %v", err)
	}
}

func TestConcurrentClaimersGetDifferentEpochs(t *testing.T) {
	leases := &comparing{LeaseInterface: fake.NewClientset().CoordinationV1().Leases("system")}
	const claimers = 8
	claimed := make([]uint32, claimers)
	var group sync.WaitGroup
	for i := range claimed {
		group.Go(func() {
			epoch, err := claimer(leases, noon, noon).Claim(t.Context())
			if err != nil {
				t.Error(err)
			}
			claimed[i] = epoch
		})
	}
	group.Wait()
	seen := map[uint32]bool{}
	for _, epoch := range claimed {
		if seen[epoch] {
			t.Errorf("epoch %d was claimed twice: %v", epoch, claimed)
		}
		seen[epoch] = true
	}
}
