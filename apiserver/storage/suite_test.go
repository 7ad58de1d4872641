package storage

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	kubernetesclient "go.etcd.io/etcd/client/v3/kubernetes"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/example"
	apistorage "k8s.io/apiserver/pkg/storage"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"
	clientfeatures "k8s.io/client-go/features"
	clientfeaturestesting "k8s.io/client-go/features/testing"
)

const suitePackage = "k8s.io/apiserver/pkg/storage/testing"

// exceptions are the functions of the published suite that we do not run, with the
// reason. onlyRaw are run against the Store but not through the cache.
var (
	exceptions = map[string]string{
		"RunTestCreateWithTTL":           "nothing in the upstream expires: a time to live is ignored",
		"RunTestGuaranteedUpdateWithTTL": "nothing in the upstream expires: a time to live is ignored",

		"RunTestDeleteExpectedTransformOrDecodeError": "nothing is stored encoded, so nothing becomes unreadable",
		"RunTestGetListWithErrorAggregation":          "nothing is stored encoded, so nothing becomes unreadable",
		"RunTestGetListWithoutErrorAggregation":       "nothing is stored encoded, so nothing becomes unreadable",
		"RunTestGuaranteedUpdateChecksStoredData":     "nothing is stored encoded, so no encoding is ever outdated",
		"RunTestTransformationFailure":                "nothing is stored encoded, so nothing becomes unreadable",
		"RunTestWatchError":                           "nothing is stored encoded, so nothing becomes unreadable",
		"RunTestWatchWithUnsafeDelete":                "nothing is stored encoded, so nothing becomes unreadable",
		"RunWatchErrorIsBlockingFurtherEvents":        "nothing is stored encoded, so nothing becomes unreadable",
	}
	onlyRaw = map[string]string{
		"RunOptionalTestProgressNotify":       "the cache does not pass on the progress of its own watch, for anybody",
		"RunTestListInconsistentContinuation": "the cache ignores the limit of lists at revision 0, for anybody",
		"RunTestWatchFromZero":                "its compaction has to reach into the private history of the cache",
	}
	onlyCached = map[string]string{
		"RunTestOptionalWatchBookmarksWithCorrectResourceVersion": "the Store sends bookmarks to the cache only",
	}
)

// suite calls each function of the published suite that is no exception.
var suite = map[string]struct {
	stand standOptions
	run   func(context.Context, *testing.T, *stand)
}{
	"RunTestCreate": {run: func(ctx context.Context, t *testing.T, s *stand) {
		storagetesting.RunTestCreate(ctx, t, s.served, s.storedWithoutRevision)
	}},
	"RunTestCreateWithKeyExist":                         plain(storagetesting.RunTestCreateWithKeyExist),
	"RunTestGet":                                        plain(storagetesting.RunTestGet),
	"RunTestUnconditionalDelete":                        plain(storagetesting.RunTestUnconditionalDelete),
	"RunTestConditionalDelete":                          plain(storagetesting.RunTestConditionalDelete),
	"RunTestDeleteWithSuggestion":                       plain(storagetesting.RunTestDeleteWithSuggestion),
	"RunTestDeleteWithSuggestionAndConflict":            plain(storagetesting.RunTestDeleteWithSuggestionAndConflict),
	"RunTestDeleteWithConflict":                         plain(storagetesting.RunTestDeleteWithConflict),
	"RunTestDeleteWithSuggestionOfDeletedObject":        plain(storagetesting.RunTestDeleteWithSuggestionOfDeletedObject),
	"RunTestValidateDeletionWithSuggestion":             plain(storagetesting.RunTestValidateDeletionWithSuggestion),
	"RunTestValidateDeletionWithOnlySuggestionValid":    plain(storagetesting.RunTestValidateDeletionWithOnlySuggestionValid),
	"RunTestPreconditionalDeleteWithSuggestion":         plain(storagetesting.RunTestPreconditionalDeleteWithSuggestion),
	"RunTestPreconditionalDeleteWithOnlySuggestionPass": plain(storagetesting.RunTestPreconditionalDeleteWithOnlySuggestionPass),
	"RunTestDeleteWithConflictAndMissingExpectedTransformOrDecodeError": {run: func(ctx context.Context, t *testing.T, s *stand) {
		storagetesting.RunTestDeleteWithConflictAndMissingExpectedTransformOrDecodeError(ctx, t, s.served, func(bool) {})
	}},
	"RunTestDeleteWithSuggestionAndMissingExpectedTransformOrDecodeError": {run: func(ctx context.Context, t *testing.T, s *stand) {
		storagetesting.RunTestDeleteWithSuggestionAndMissingExpectedTransformOrDecodeError(ctx, t, s.served)
	}},
	"RunTestGuaranteedUpdate": {run: func(ctx context.Context, t *testing.T, s *stand) {
		storagetesting.RunTestGuaranteedUpdate(ctx, t, untransformed{s.served}, s.storedWithoutRevision)
	}},
	"RunTestGuaranteedUpdateWithConflict":              plain(storagetesting.RunTestGuaranteedUpdateWithConflict),
	"RunTestGuaranteedUpdateWithSuggestionAndConflict": plain(storagetesting.RunTestGuaranteedUpdateWithSuggestionAndConflict),

	"RunTestList": {run: func(ctx context.Context, t *testing.T, s *stand) {
		storagetesting.RunTestList(ctx, t, s.served, s.compact, s.cached(), s.lists.recorder)
	}},
	"RunTestConsistentList": {run: func(ctx context.Context, t *testing.T, s *stand) {
		storagetesting.RunTestConsistentList(ctx, t, s.served, s.increase, s.cached(), true, s.cached())
	}},
	"RunTestGetListNonRecursive": {run: func(ctx context.Context, t *testing.T, s *stand) {
		storagetesting.RunTestGetListNonRecursive(ctx, t, s.increase, s.served)
	}},
	"RunTestGetListRecursivePrefix": plain(storagetesting.RunTestGetListRecursivePrefix),
	"RunTestListContinuation": {run: func(ctx context.Context, t *testing.T, s *stand) {
		storagetesting.RunTestListContinuation(ctx, t, s.served, anyCalls)
	}},
	"RunTestListPaginationRareObject": {run: func(ctx context.Context, t *testing.T, s *stand) {
		storagetesting.RunTestListPaginationRareObject(ctx, t, s.served, anyCalls)
	}},
	"RunTestListContinuationWithFilter": {run: func(ctx context.Context, t *testing.T, s *stand) {
		storagetesting.RunTestListContinuationWithFilter(ctx, t, s.served, anyCalls)
	}},
	"RunTestListInconsistentContinuation": {run: func(ctx context.Context, t *testing.T, s *stand) {
		storagetesting.RunTestListInconsistentContinuation(ctx, t, s.served, s.compact)
	}},
	"RunTestListResourceVersionMatch": {run: func(ctx context.Context, t *testing.T, s *stand) {
		storagetesting.RunTestListResourceVersionMatch(ctx, t, untransformed{s.served})
	}},
	"RunTestListPaging":          plain(storagetesting.RunTestListPaging),
	"RunTestNamespaceScopedList": indexed(storagetesting.RunTestNamespaceScopedList),
	"RunTestStats": {run: func(ctx context.Context, t *testing.T, s *stand) {
		storagetesting.RunTestStats(ctx, t, s.served, exampleCodec, identity.NewEncryptCheckTransformer(), true)
	}},
	"RunTestCompactRevision": {run: func(ctx context.Context, t *testing.T, s *stand) {
		// It expects a world that is not empty.
		s.advance()
		storagetesting.RunTestCompactRevision(ctx, t, s.served, s.increase, s.compact)
	}},
	"RunTestKeySchema": plain(storagetesting.RunTestKeySchema),

	"RunTestWatch": plain(storagetesting.RunTestWatch),
	"RunTestWatchFromZero": {run: func(ctx context.Context, t *testing.T, s *stand) {
		storagetesting.RunTestWatchFromZero(ctx, t, s.served, s.compact)
	}},
	"RunTestDeleteTriggerWatch":                 plain(storagetesting.RunTestDeleteTriggerWatch),
	"RunTestWatchFromNonZero":                   plain(storagetesting.RunTestWatchFromNonZero),
	"RunTestDelayedWatchDelivery":               plain(storagetesting.RunTestDelayedWatchDelivery),
	"RunTestWatchContextCancel":                 plain(storagetesting.RunTestWatchContextCancel),
	"RunTestWatcherTimeout":                     plain(storagetesting.RunTestWatcherTimeout),
	"RunTestWatchDeleteEventObjectHaveLatestRV": plain(storagetesting.RunTestWatchDeleteEventObjectHaveLatestRV),
	"RunTestWatchInitializationSignal":          plain(storagetesting.RunTestWatchInitializationSignal),
	"RunOptionalTestProgressNotify": {run: func(ctx context.Context, t *testing.T, s *stand) {
		storagetesting.RunOptionalTestProgressNotify(ctx, t, s.served, s.increase)
	}},
	"RunTestClusterScopedWatch": {
		stand: standOptions{clusterScoped: true, indexed: true},
		run: func(ctx context.Context, t *testing.T, s *stand) {
			storagetesting.RunTestClusterScopedWatch(ctx, t, s.served)
		},
	},
	"RunTestNamespaceScopedWatch": indexed(storagetesting.RunTestNamespaceScopedWatch),
	"RunTestWatchDispatchBookmarkEvents": {run: func(ctx context.Context, t *testing.T, s *stand) {
		storagetesting.RunTestWatchDispatchBookmarkEvents(ctx, t, s.served, s.cached())
	}},
	"RunTestOptionalWatchBookmarksWithCorrectResourceVersion": plain(storagetesting.RunTestOptionalWatchBookmarksWithCorrectResourceVersion),
	"RunSendInitialEventsBackwardCompatibility":               plain(storagetesting.RunSendInitialEventsBackwardCompatibility),
	"RunWatchSemantics":                     patient(storagetesting.RunWatchSemantics),
	"RunWatchSemanticInitialEventsExtended": patient(storagetesting.RunWatchSemanticInitialEventsExtended),
	"RunWatchListMatchSingle":               patient(storagetesting.RunWatchListMatchSingle),
}

type suiteCase = struct {
	stand standOptions
	run   func(context.Context, *testing.T, *stand)
}

func plain(run func(context.Context, *testing.T, apistorage.Interface)) suiteCase {
	return suiteCase{run: func(ctx context.Context, t *testing.T, s *stand) { run(ctx, t, s.served) }}
}

func indexed(run func(context.Context, *testing.T, apistorage.Interface)) suiteCase {
	return suiteCase{
		stand: standOptions{indexed: true},
		run:   func(ctx context.Context, t *testing.T, s *stand) { run(ctx, t, s.served) },
	}
}

// patient is for functions that expect a cache to have seen what was created.
func patient(run func(context.Context, *testing.T, apistorage.Interface)) suiteCase {
	return suiteCase{run: func(ctx context.Context, t *testing.T, s *stand) { run(ctx, t, patiently{s.served}) }}
}

func TestPublishedSuiteAgainstTheStore(t *testing.T) {
	runSuite(t, standOptions{}, onlyCached)
}

func TestPublishedSuiteThroughTheCacheThatListsByWatching(t *testing.T) {
	clientfeaturestesting.SetFeatureDuringTest(t, clientfeatures.WatchListClient, true)
	runSuite(t, standOptions{cached: true}, onlyRaw)
}

func TestPublishedSuiteThroughTheCacheThatListsAndThenWatches(t *testing.T) {
	clientfeaturestesting.SetFeatureDuringTest(t, clientfeatures.WatchListClient, false)
	runSuite(t, standOptions{cached: true}, onlyRaw)
}

func runSuite(t *testing.T, with standOptions, without map[string]string) {
	for name, function := range suite {
		if _, excepted := without[name]; excepted {
			continue
		}
		t.Run(name, func(t *testing.T) {
			options := function.stand
			options.cached = with.cached
			function.run(context.Background(), t, newStand(t, options))
		})
	}
}

// A function that a later version of the library adds must be run or excepted.
func TestNoFunctionOfThePublishedSuiteIsForgotten(t *testing.T) {
	output, err := exec.Command("go", "list", "-f", "{{.Dir}}", suitePackage).Output()
	if err != nil {
		t.Fatalf("locating the suite: %v", err)
	}
	directory := strings.TrimSpace(string(output))
	files, err := filepath.Glob(filepath.Join(directory, "*_tests.go"))
	if err != nil {
		t.Fatal(err)
	}
	var published []string
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok && strings.HasPrefix(function.Name.Name, "Run") {
				published = append(published, function.Name.Name)
			}
		}
	}
	if len(published) < 50 {
		t.Fatalf("found only %d functions of the suite in %s", len(published), directory)
	}
	for _, name := range published {
		_, run := suite[name]
		_, excepted := exceptions[name]
		if run == excepted {
			t.Errorf("%s: run=%v, excepted=%v", name, run, excepted)
		}
	}
	for _, table := range []map[string]string{exceptions, onlyRaw, onlyCached} {
		for name := range table {
			if !slices.Contains(published, name) {
				t.Errorf("the excepted %s is not in the suite", name)
			}
		}
	}
}

func (s *stand) cached() bool { return s.served != apistorage.Interface(s.store) }

func (s *stand) increase(context.Context, *testing.T) int64 { return int64(s.advance()) }

// storedWithoutRevision checks what is stored upstream.
func (s *stand) storedWithoutRevision(_ context.Context, t *testing.T, key string) {
	t.Helper()
	s.upstream.set(func(u *upstream) {
		pod, ok := u.objects[key].(*example.Pod)
		if !ok {
			t.Fatalf("%s is not stored", key)
		}
		if pod.ResourceVersion != "" || pod.SelfLink != "" {
			t.Errorf("stored with resourceVersion %q and selfLink %q", pod.ResourceVersion, pod.SelfLink)
		}
	})
}

// anyCalls accepts any number of calls for a list: they are reads of memory.
func anyCalls(*testing.T, uint64, uint64) {}

// untransformed has the method by which the suite interferes with encryption,
// which we have none of.
type untransformed struct{ apistorage.Interface }

func (untransformed) UpdatePrefixTransformer(modify storagetesting.PrefixTransformerModifier) func() {
	var _ value.Transformer = modify(storagetesting.NewPrefixTransformer(nil, false))
	return func() {}
}

// patiently waits after each creation until the cache has seen it.
type patiently struct{ apistorage.Interface }

func (p patiently) Create(ctx context.Context, key string, object, out runtime.Object, ttl uint64) error {
	if err := p.Interface.Create(ctx, key, object, out, ttl); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 5*time.Millisecond, wait.ForeverTestTimeout, true, func(ctx context.Context) (bool, error) {
		err := p.Interface.Get(ctx, key, apistorage.GetOptions{ResourceVersion: "0"}, &example.Pod{})
		if apistorage.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	})
}

// listRecorder notes the lists that the cache passes on to the Store, in the form
// in which the suite expects them of etcd.
type listRecorder struct {
	apistorage.Interface
	versioner apistorage.Versioner
	recorder  *storagetesting.KubernetesRecorder
}

func newListRecorder(store *Store) *listRecorder {
	return &listRecorder{Interface: store, versioner: store.versioner, recorder: storagetesting.NewKubernetesRecorder(noClient{})}
}

func (r *listRecorder) GetList(ctx context.Context, key string, options apistorage.ListOptions, out runtime.Object) error {
	prefix, err := apistorage.PrepareKey("/pods/", key, options.Recursive)
	if err != nil {
		return err
	}
	revision, continueKey, err := apistorage.ValidateListOptions(prefix, r.versioner, options)
	if err != nil {
		return err
	}
	if continueKey != "" {
		continueKey = "/registry" + continueKey
	}
	if _, err := r.recorder.List(ctx, "/registry"+prefix, kubernetesclient.ListOptions{
		Revision: revision, Limit: options.Predicate.Limit, Continue: continueKey,
	}); err != nil {
		return err
	}
	return r.Interface.GetList(ctx, key, options, out)
}

// noClient stands in for the client behind the suite's recorder.
type noClient struct{ kubernetesclient.Interface }

func (noClient) List(context.Context, string, kubernetesclient.ListOptions) (kubernetesclient.ListResponse, error) {
	return kubernetesclient.ListResponse{}, nil
}

// unavailable is what the upstream side says when it cannot answer.
func unavailable(message string) error {
	err := apierrors.NewServiceUnavailable(message)
	err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
	return err
}
