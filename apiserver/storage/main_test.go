package storage

import (
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/apiserver/pkg/storage/cacher/consistency"
)

func TestMain(m *testing.M) {
	InstallFeatureChecker()
	// The same as KUBE_WATCHCACHE_CONSISTENCY_CHECKER=true, and far more often than
	// in production: any difference between the cache and the Store is a panic.
	consistency.PanicOnCacheInconsistency = true
	consistency.CheckPeriod = 200 * time.Millisecond
	goleak.VerifyTestMain(m,
		// The library's wait for a revision leaves a timer of three seconds behind.
		goleak.IgnoreAnyFunction("k8s.io/apiserver/pkg/storage/cacher.(*watchCache).waitUntilFreshLocked.func2"),
	)
}
