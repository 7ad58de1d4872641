package storage

import (
	"sync"

	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/feature"
)

// progressChecker answers that a watch's progress can be asked for.
type progressChecker struct {
	// FeatureSupportChecker stays for its other methods, one of which has a
	// parameter of a type that cannot be named here.
	feature.FeatureSupportChecker
}

// Supports implements feature.FeatureSupportChecker.
func (progressChecker) Supports(wanted apistorage.Feature) bool {
	return wanted == apistorage.RequestWatchProgress
}

var installFeatureChecker = sync.OnceFunc(func() {
	feature.DefaultFeatureSupportChecker = progressChecker{feature.NewDefaultFeatureSupportChecker()}
})

// InstallFeatureChecker tells the library that our storage can be asked for the
// progress of a watch. The library keeps that knowledge in one variable for the
// whole process, which says no until an etcd client says otherwise; with no such
// client every consistent list would bypass the cache, and watches that begin with
// a list would be refused. It has to be called before any storage is made, and no
// etcd client may be made in the same process.
func InstallFeatureChecker() { installFeatureChecker() }
