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

// namedAtMost is how many objects an event names.
const namedAtMost = 20

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
	lease, err := g.kube.CoordinationV1().Leases(g.namespace).Get(ctx, g.name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading Lease %s/%s: %w", g.namespace, g.name, err)
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
	waiting := false
	for kind, held := range g.brakes {
		set, tripped := held.Held()
		if tripped && len(set.Names) == 0 && settled && held.Release() {
			g.later(kind, set)
		}
		if len(set.Names) == 0 || !tripped {
			continue
		}
		waiting = true
		if told := g.told[kind]; !told.IsZero() && time.Since(told) >= remindInterval {
			if err := g.show(ctx, kind, set); err != nil {
				return err
			}
		}
	}
	if !waiting {
		return nil
	}
	return g.answer(ctx)
}

// later shows a set in the next step, unless there is a newer one to show.
func (g *guard) later(kind string, set brake.Set) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if _, newer := g.pending[kind]; !newer {
		g.pending[kind] = set
	}
}

// answer lets go what a person has allowed.
func (g *guard) answer(ctx context.Context) error {
	lease, err := g.kube.CoordinationV1().Leases(g.namespace).Get(ctx, g.name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading Lease %s/%s: %w", g.namespace, g.name, err)
	}
	used := false
	for _, hash := range strings.Split(lease.Annotations[allowAnnotation], ",") {
		for kind, brake := range g.brakes {
			if count := brake.Approve(strings.TrimSpace(hash)); count > 0 {
				klog.FromContext(ctx).Info("Removals allowed by a person", "kind", kind, "count", count, "hash", hash)
				g.events.Eventf(lease, corev1.EventTypeNormal, "RemovalsAllowed", "Removing %d %s, as allowed", count, kind)
				used = true
			}
		}
	}
	if !used {
		return nil
	}
	_, err = g.annotate(ctx, map[string]*string{allowAnnotation: nil})
	return err
}

// show tells a person what is held back, or that nothing is any more.
func (g *guard) show(ctx context.Context, kind string, set brake.Set) error {
	if len(set.Names) == 0 {
		delete(g.told, kind)
		_, err := g.annotate(ctx, map[string]*string{heldAnnotation + kind: nil})
		return err
	}
	names, more := set.Names, ""
	if len(names) > namedAtMost {
		more = fmt.Sprintf(" and %d more", len(names)-namedAtMost)
		names = names[:namedAtMost]
	}
	message := fmt.Sprintf("%d %s are without their source all at once and are not removed: %s%s. If that is right: kubectl -n %s annotate lease %s %s=%s",
		len(set.Names), kind, strings.Join(names, ", "), more, g.namespace, g.name, allowAnnotation, set.Hash())
	klog.FromContext(ctx).Info("Removals held back", "kind", kind, "count", len(set.Names), "hash", set.Hash(), "names", set.Names)
	value := fmt.Sprintf("%s %d", set.Hash(), len(set.Names))
	lease, err := g.annotate(ctx, map[string]*string{heldAnnotation + kind: &value})
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

// annotate sets and removes (nil) annotations of the Lease, and returns it.
func (g *guard) annotate(ctx context.Context, annotations map[string]*string) (*coordinationv1.Lease, error) {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
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
