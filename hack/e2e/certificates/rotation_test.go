package certificates

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/certs"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/process"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// Ten times, authority and certificates are exchanged while 200 requests a second
// and open watches go through kube-apiserver to both programs.
func TestRotationsAreNotNoticed(t *testing.T) {
	const rotations = 10
	load := newTraffic(t)
	seesTheLast := load.watchSessions(5)
	load.watchAvailability()
	begun := time.Now()
	signing, _ := authority(t)
	authorities, leaves := map[string]bool{certs.Fingerprint(signing): true}, map[string]bool{}
	for range rotations {
		stand.Kubectl(t, "annotate", "secret", stack.AuthoritySecret, "-n", stack.Namespace, "--overwrite", "ambient.io/rotate-now=true")
		next, shown := awaitSigned(t, signing)
		signing = next
		authorities[certs.Fingerprint(signing)] = true
		for _, leaf := range shown {
			leaves[certs.Fingerprint(leaf)] = true
		}
	}
	took := time.Since(begun)
	if len(authorities) != rotations+1 || len(leaves) != 2*rotations {
		t.Errorf("%d authorities and %d certificates were seen, want %d and %d", len(authorities), len(leaves), rotations+1, 2*rotations)
	}
	// The requests go on until the last of the old authorities is dropped.
	harness.Eventually(t, "only the last authority is trusted", func() error {
		if _, trusted := authority(t); len(trusted) != 1 || !trusted[0].Equal(signing) {
			return fmt.Errorf("%d are", len(trusted))
		}
		for object, held := range bundles(t) {
			if len(held) != 1 || !held[0].Equal(signing) {
				return fmt.Errorf("%s trusts %d", object, len(held))
			}
		}
		return nil
	})
	seesTheLast()
	t.Logf("%d rotations in %s, %d requests until the last old authority was dropped", rotations, took.Round(time.Second), load.finish())
}

func TestADeletedAuthorityIsReplacedWithoutAnybodyNoticing(t *testing.T) {
	load := newTraffic(t)
	seesTheLast := load.watchSessions(2)
	load.watchAvailability()
	before, _ := authority(t)
	stand.Kubectl(t, "delete", "secret", stack.AuthoritySecret, "-n", stack.Namespace)
	harness.Eventually(t, "another authority is made", func() error {
		_, err := stand.Kubernetes.CoreV1().Secrets(stack.Namespace).Get(t.Context(), stack.AuthoritySecret, metav1.GetOptions{})
		return err
	})
	awaitSigned(t, before)
	seesTheLast()
	t.Logf("%d requests", load.finish())
}

// Neither finds an authority when it starts: one makes it, the other takes that.
func TestProgramsThatStartAtOnceShareOneAuthority(t *testing.T) {
	before, _ := authority(t)
	both := []*process.Process{stand.Stack.Extension, stand.Stack.Reconciler}
	for _, p := range both {
		harness.Kill(t, p)
	}
	stand.Kubectl(t, "delete", "secret", stack.AuthoritySecret, "-n", stack.Namespace)
	errs := make([]error, len(both))
	var group sync.WaitGroup
	for i, p := range both {
		group.Go(func() { errs[i] = p.Restart(t.Context()) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	signing, _ := awaitSigned(t, before)
	_, trusted := authority(t)
	if len(trusted) != 1 || !trusted[0].Equal(signing) {
		t.Errorf("%d authorities are trusted, want the one that both share", len(trusted))
	}
	// Both are ready, so both have published it.
	for object, held := range bundles(t) {
		if len(held) != 1 || !held[0].Equal(signing) {
			t.Errorf("%s trusts another authority", object)
		}
	}
	if _, err := stand.Ambient.AmbientV1alpha1().Projects().List(t.Context(), metav1.ListOptions{}); err != nil && !apierrors.IsServiceUnavailable(err) {
		t.Errorf("after the restart: %v", err)
	}
}
