package reconciler

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/ambient-code/ambient-kube/reconciler/brake"
)

func TestADeletionIsProofOnlyIfItWasReceived(t *testing.T) {
	var log []string
	handler := changes[*corev1.Namespace]{
		added:   func(object *corev1.Namespace) { log = append(log, "added "+string(object.UID)) },
		changed: func(_, after *corev1.Namespace) { log = append(log, "changed "+string(after.UID)) },
		deleted: func(object *corev1.Namespace, proof bool) {
			log = append(log, map[bool]string{true: "deleted ", false: "absent "}[proof]+string(object.UID))
		},
	}
	namespace := func(uid types.UID, version string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{UID: uid, ResourceVersion: version}}
	}
	handler.OnAdd(namespace("1", "1"), true)
	handler.OnUpdate(namespace("1", "1"), namespace("1", "1"))
	handler.OnUpdate(namespace("1", "1"), namespace("1", "2"))
	handler.OnUpdate(namespace("1", "2"), namespace("2", "3"))
	handler.OnDelete(namespace("2", "3"))
	handler.OnDelete(cache.DeletedFinalStateUnknown{Obj: namespace("3", "1")})
	want := "added 1, changed 1, absent 1, added 2, deleted 2, absent 3"
	if got := strings.Join(log, ", "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestEventsWithoutANamespaceAreLeftOut(t *testing.T) {
	namespaces := cache.NewStore(cache.MetaNamespaceKeyFunc)
	if err := namespaces.Add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "there"}}); err != nil {
		t.Fatal(err)
	}
	fake := record.NewFakeRecorder(10)
	events := recorder{EventRecorder: fake, namespaces: namespaces}
	events.Event(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "gone"}}, "Normal", "Lost", "")
	events.Eventf(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "gone"}}, "Normal", "Lost", "")
	events.Event(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "there"}}, "Normal", "Kept", "")
	events.Event(&corev1.Node{}, "Normal", "Kept", "")
	for range 2 {
		if event := <-fake.Events; !strings.Contains(event, "Kept") {
			t.Errorf("event %s", event)
		}
	}
	if len(fake.Events) != 0 {
		t.Errorf("%d events too many", len(fake.Events))
	}
}

func TestAPersonIsAskedAndAnswersOnTheLease(t *testing.T) {
	ctx := context.Background()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "l"}}
	kube := fake.NewClientset(lease)
	g := newGuard(kube, "n", "l", prometheus.NewRegistry())
	events := record.NewFakeRecorder(10)
	g.events = events
	held := g.brake("things", brake.Limits{Window: time.Minute, Most: 1, Least: 2}, func() int { return 100 })
	// Tripped before a restart: everything that is absent is held back at once.
	held.Trip()
	absent := func() bool {
		allowed, _ := held.Absent("a")
		return allowed
	}
	absent()
	deadline := time.Now().Add(20 * time.Second)
	for {
		absent()
		g.mutex.Lock()
		shown := len(g.pending)
		g.mutex.Unlock()
		if shown > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing was held back")
		}
	}
	if err := g.step(ctx, false); err != nil {
		t.Fatal(err)
	}
	annotations := func() map[string]string {
		lease, err := kube.CoordinationV1().Leases("n").Get(ctx, "l", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return lease.Annotations
	}
	hash, _, _ := strings.Cut(annotations()[heldAnnotation+"things"], " ")
	if hash == "" {
		t.Fatalf("annotations %v", annotations())
	}
	if event := <-events.Events; !strings.Contains(event, hash) || !strings.Contains(event, ": a.") {
		t.Errorf("event %s", event)
	}

	// Events are not kept for ever: it is told again, in time and not before.
	for age, want := range map[time.Duration]int{remindInterval / 2: 0, remindInterval: 1} {
		g.told["things"] = time.Now().Add(-age)
		if err := g.step(ctx, false); err != nil {
			t.Fatal(err)
		}
		if told := len(events.Events); told != want {
			t.Errorf("told %d times after %s, want %d", told, age, want)
		}
		for range len(events.Events) {
			<-events.Events
		}
	}

	// A restart remembers.
	again := newGuard(kube, "n", "l", prometheus.NewRegistry())
	restarted := again.brake("things", brake.Limits{}, func() int { return 0 })
	if err := again.restore(ctx); err != nil {
		t.Fatal(err)
	}
	if _, tripped := restarted.Held(); !tripped {
		t.Error("forgotten over a restart")
	}

	if _, err := g.annotate(ctx, map[string]*string{allowAnnotation: &hash}, ""); err != nil {
		t.Fatal(err)
	}
	if err := g.step(ctx, false); err != nil {
		t.Fatal(err)
	}
	if !absent() {
		t.Error("held back although it was allowed")
	}
	if err := g.step(ctx, false); err != nil {
		t.Fatal(err)
	}
	if left := annotations(); len(left) != 0 {
		t.Errorf("annotations %v stay", left)
	}
}

// A removal that is held back and not shown could never be released.
func TestEveryKindThatIsHeldBackIsShownInTheEnd(t *testing.T) {
	ctx := context.Background()
	kube := fake.NewClientset(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "l"}})
	refusals := 1
	kube.PrependReactor("patch", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		refusals--
		return refusals >= 0, nil, errors.New("not now")
	})
	g := newGuard(kube, "n", "l", prometheus.NewRegistry())
	g.events = record.NewFakeRecorder(10)
	g.pending = map[string]brake.Set{"things": {Names: []string{"a"}}, "others": {Names: []string{"b"}}}
	if err := g.step(ctx, false); err == nil {
		t.Fatal("a step ends well whose write was refused")
	}
	if err := g.step(ctx, false); err != nil {
		t.Fatal(err)
	}
	lease, err := kube.CoordinationV1().Leases("n").Get(ctx, "l", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"things", "others"} {
		if lease.Annotations[heldAnnotation+kind] == "" {
			t.Errorf("%s are not shown: %v", kind, lease.Annotations)
		}
	}
}

func TestOnlyTheLeaderWorksAndTheNextOneNeedNotWait(t *testing.T) {
	kube := fake.NewClientset()
	options := NewOptions()
	options.RetryPeriod = 20 * time.Millisecond
	// Nobody would follow a leader that does not release the lease.
	options.LeaseDuration = time.Hour
	type candidate struct {
		stop    context.CancelFunc
		started chan struct{}
		ended   chan error
	}
	campaign := func() candidate {
		ctx, stop := context.WithCancel(context.Background())
		l := candidate{stop: stop, started: make(chan struct{}), ended: make(chan error, 1)}
		go func() {
			l.ended <- lead(ctx, options, kube, newProbes(), func(ctx context.Context) error {
				close(l.started)
				<-ctx.Done()
				return nil
			})
		}()
		return l
	}
	first := campaign()
	<-first.started
	second := campaign()
	select {
	case <-second.started:
		t.Fatal("two lead at a time")
	case <-time.After(200 * time.Millisecond):
	}
	first.stop()
	if err := <-first.ended; err != nil {
		t.Errorf("the first leader ended with %v", err)
	}
	select {
	case <-second.started:
	case <-time.After(time.Minute):
		t.Fatal("the lease was not released")
	}
	second.stop()
	if err := <-second.ended; err != nil {
		t.Error(err)
	}
}

func TestALostLeaseEndsTheWork(t *testing.T) {
	kube := fake.NewClientset()
	options := NewOptions()
	options.LeaseDuration, options.RenewDeadline, options.RetryPeriod = 300*time.Millisecond, 200*time.Millisecond, 20*time.Millisecond
	cause := make(chan error, 1)
	var gone atomic.Bool
	kube.PrependReactor("*", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		return gone.Load(), nil, errors.New("the API server is gone")
	})
	err := lead(context.Background(), options, kube, newProbes(), func(ctx context.Context) error {
		// From now on the lease can't be renewed.
		gone.Store(true)
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return nil
	})
	if !errors.Is(err, errLeadLost) || !errors.Is(<-cause, errLeadLost) {
		t.Errorf("ended with %v", err)
	}
}

func TestReadinessNamesWhatIsMissing(t *testing.T) {
	probes := newProbes()
	get := func(handler http.HandlerFunc) (int, string) {
		answer := httptest.NewRecorder()
		handler(answer, httptest.NewRequest(http.MethodGet, "/", nil))
		return answer.Code, answer.Body.String()
	}
	probes.waitFor("the first lists")
	if code, text := get(probes.ready); code != http.StatusServiceUnavailable || !strings.Contains(text, "the first lists") {
		t.Errorf("%d %s", code, text)
	}
	if code, _ := get(probes.live); code != http.StatusOK {
		t.Errorf("alive: %d", code)
	}
	probes.waitFor("")
	if code, _ := get(probes.ready); code != http.StatusOK {
		t.Errorf("ready: %d", code)
	}
}

func TestOptionsThatCannotWorkAreAllNamed(t *testing.T) {
	options := NewOptions()
	if err := options.Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	options.LeaseNamespace, options.Workers, options.RenewDeadline = "", 0, time.Hour
	err := options.Validate()
	for _, name := range []string{"--lease-namespace", "--workers", "--lease-renew-deadline"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
}
