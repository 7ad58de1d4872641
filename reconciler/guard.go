package reconciler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/brake"
	"github.com/ambient-code/ambient-kube/reconciler/session"
)

// Annotations of the Lease.
const (
	// allowAnnotation is set by a person to the hash of the set that may be
	// removed; several are separated by commas.
	allowAnnotation = "ambient.io/allow-mass-delete"
	// heldAnnotation, with the kind added, says what is held back, so that it
	// stays held back over a restart.
	heldAnnotation = "ambient.io/removals-held."
)

const (
	// guardInterval is the time between two looks for a person's answer.
	guardInterval = 2 * time.Second
	// remindInterval is the time after which a person is told again: events are not
	// kept for ever.
	remindInterval = 10 * time.Minute
	// recovery is how long nothing must be absent until a brake that was tripped
	// before a restart lets go.
	recovery = 30 * time.Second
)

// guard asks a person about removals that a brake holds back: it shows them on
// the Lease, in an event, in the log and in a metric, and waits for the answer.
type guard struct {
	kube            kubernetes.Interface
	namespace, name string
	events          record.EventRecorder
	brakes          map[string]*brake.Brake
	held            *prometheus.GaugeVec

	mutex   sync.Mutex
	pending map[string]brake.Set
	// told is when what is held back of a kind was last told.
	told map[string]time.Time
}

func newGuard(kube kubernetes.Interface, namespace, name string, registry prometheus.Registerer) *guard {
	g := &guard{
		kube: kube, namespace: namespace, name: name,
		brakes:  map[string]*brake.Brake{},
		pending: map[string]brake.Set{},
		told:    map[string]time.Time{},
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ambient_kube_reconciler_removals_held",
			Help: "Objects whose removal waits for a person, because many are absent at once.",
		}, []string{"kind"}),
	}
	registry.MustRegister(g.held)
	return g
}

// brake returns the brake for objects of the kind.
func (g *guard) brake(kind string, limits brake.Limits, total func() int) *brake.Brake {
	g.held.WithLabelValues(kind).Set(0)
	g.brakes[kind] = brake.New(brake.Options{
		Limits: limits,
		Settle: 2 * time.Second,
		Total:  total,
		Now:    time.Now,
		Tripped: func(set brake.Set) {
			g.mutex.Lock()
			defer g.mutex.Unlock()
			g.pending[kind] = set
			g.held.WithLabelValues(kind).Set(float64(len(set.Names)))
		},
	})
	return g.brakes[kind]
}

// restore trips the brakes that were tripped before a restart.
func (g *guard) restore(ctx context.Context) error {
	lease, err := g.lease(ctx)
	if err != nil {
		return err
	}
	for kind, brake := range g.brakes {
		if lease.Annotations[heldAnnotation+kind] != "" {
			klog.FromContext(ctx).Info("Removals stay held back, as before the restart", "kind", kind)
			brake.Trip()
		}
	}
	return nil
}

// run shows what is held back and looks for answers until ctx ends.
func (g *guard) run(ctx context.Context) {
	ticker := time.NewTicker(guardInterval)
	defer ticker.Stop()
	since := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := g.step(ctx, time.Since(since) > recovery); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Info("Removals held back can't be shown or answered, will try again", "err", err.Error())
		}
	}
}

func (g *guard) step(ctx context.Context, settled bool) error {
	// What a person says is about what they were shown, not about what is shown next.
	if err := g.answer(ctx); err != nil {
		return err
	}
	g.mutex.Lock()
	pending := g.pending
	g.pending = map[string]brake.Set{}
	g.mutex.Unlock()
	var failures []error
	for kind, set := range pending {
		if err := g.show(ctx, kind, set); err != nil {
			g.later(kind, set)
			failures = append(failures, err)
		}
	}
	if len(failures) > 0 {
		return errors.Join(failures...)
	}
	for kind, held := range g.brakes {
		set, tripped := held.Held()
		if tripped && len(set.Names) == 0 && settled && held.Release() {
			g.later(kind, set)
		}
		if len(set.Names) == 0 || !tripped {
			continue
		}
		if told := g.told[kind]; !told.IsZero() && time.Since(told) >= remindInterval {
			if err := g.show(ctx, kind, set); err != nil {
				return err
			}
		}
	}
	return nil
}

// later shows a set in the next step, unless there is a newer one to show.
func (g *guard) later(kind string, set brake.Set) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if _, newer := g.pending[kind]; !newer {
		g.pending[kind] = set
	}
}

// answer lets go what a person has allowed. Their word is taken off before it counts,
// so that it counts once: the same set may be held back another time, and what is left
// there would let it go unseen.
func (g *guard) answer(ctx context.Context) error {
	if !g.waiting() {
		return nil
	}
	lease, err := g.lease(ctx)
	if err != nil {
		return err
	}
	allowed := g.allowed(lease)
	if len(allowed) == 0 {
		return nil
	}
	if lease, err = g.annotate(ctx, map[string]*string{allowAnnotation: nil}, lease.ResourceVersion); err != nil {
		return err
	}
	for kind, hash := range allowed {
		if count := g.brakes[kind].Approve(hash); count > 0 {
			klog.FromContext(ctx).Info("Removals allowed by a person", "kind", kind, "count", count, "hash", hash)
			g.events.Eventf(lease, corev1.EventTypeNormal, "RemovalsAllowed", "Removing %d %s, as allowed", count, kind)
		}
	}
	return nil
}

// waiting tells whether anything is held back.
func (g *guard) waiting() bool {
	for _, held := range g.brakes {
		if set, tripped := held.Held(); tripped && len(set.Names) > 0 {
			return true
		}
	}
	return false
}

// allowed returns the hashes that a person has allowed, by kind: those of sets that are
// held back, and that the Lease shows.
func (g *guard) allowed(lease *coordinationv1.Lease) map[string]string {
	result := map[string]string{}
	for _, word := range strings.Split(lease.Annotations[allowAnnotation], ",") {
		for kind, held := range g.brakes {
			set, tripped := held.Held()
			if tripped && strings.TrimSpace(word) == set.Hash() && lease.Annotations[heldAnnotation+kind] == mark(set) {
				result[kind] = set.Hash()
			}
		}
	}
	return result
}

// mark is how the Lease says what is held back.
func mark(set brake.Set) string { return fmt.Sprintf("%s %d", set.Hash(), len(set.Names)) }

// show tells a person what is held back, or that nothing is any more.
func (g *guard) show(ctx context.Context, kind string, set brake.Set) error {
	if len(set.Names) == 0 {
		delete(g.told, kind)
		_, err := g.annotate(ctx, map[string]*string{heldAnnotation + kind: nil}, "")
		return err
	}
	message := fmt.Sprintf("%d %s are without their source all at once and are not removed: %s. If that is right: kubectl -n %s annotate lease %s %s=%s",
		len(set.Names), kind, session.Enumerate(set.Names), g.namespace, g.name, allowAnnotation, set.Hash())
	klog.FromContext(ctx).Info("Removals held back", "kind", kind, "count", len(set.Names), "hash", set.Hash(), "names", set.Names)
	lease, err := g.markHeld(ctx, kind, mark(set))
	if err != nil {
		return err
	}
	// An event's message has 1,024 characters.
	if len(message) > 1000 {
		message = fmt.Sprintf("%d %s are without their source all at once and are not removed; the log names them. If that is right: kubectl -n %s annotate lease %s %s=%s",
			len(set.Names), kind, g.namespace, g.name, allowAnnotation, set.Hash())
	}
	// With its UID, by which kubectl describe looks for events.
	g.events.Event(lease, corev1.EventTypeWarning, "RemovalsHeld", message)
	g.told[kind] = time.Now()
	return nil
}

// markHeld writes on the Lease what is held back of a kind, and returns it. A word of a
// person that stands there when another set is marked was not said of that one.
func (g *guard) markHeld(ctx context.Context, kind, value string) (*coordinationv1.Lease, error) {
	lease, err := g.lease(ctx)
	if err != nil {
		return nil, err
	}
	annotations, version := map[string]*string{heldAnnotation + kind: &value}, ""
	if _, stands := lease.Annotations[allowAnnotation]; stands && lease.Annotations[heldAnnotation+kind] != value {
		annotations[allowAnnotation], version = nil, lease.ResourceVersion
	}
	return g.annotate(ctx, annotations, version)
}

func (g *guard) lease(ctx context.Context) (*coordinationv1.Lease, error) {
	lease, err := g.kube.CoordinationV1().Leases(g.namespace).Get(ctx, g.name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading Lease %s/%s: %w", g.namespace, g.name, err)
	}
	return lease, nil
}

// annotate sets and removes (nil) annotations of the Lease, and returns it. With a
// version it is refused if the Lease is another by now.
func (g *guard) annotate(ctx context.Context, annotations map[string]*string, version string) (*coordinationv1.Lease, error) {
	type metadata struct {
		ResourceVersion string             `json:"resourceVersion,omitempty"`
		Annotations     map[string]*string `json:"annotations"`
	}
	patch, err := json.Marshal(map[string]metadata{"metadata": {version, annotations}})
	if err != nil {
		return nil, fmt.Errorf("encoding annotations: %w", err)
	}
	options := metav1.PatchOptions{FieldManager: agenticsession.FieldManager}
	lease, err := g.kube.CoordinationV1().Leases(g.namespace).Patch(ctx, g.name, types.MergePatchType, patch, options)
	if err != nil {
		return nil, fmt.Errorf("annotating Lease %s/%s: %w", g.namespace, g.name, err)
	}
	return lease, nil
}
