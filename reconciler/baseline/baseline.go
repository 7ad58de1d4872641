// Package baseline tells old sessions from new ones: history that was there
// before the reconciler was first installed is not run.
//
// It owns the record of the newest session of the first complete listing ever,
// an immutable ConfigMap. It must not know what is done with a session that is
// new.
package baseline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/client/versioned"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/phase"
)

// ConfigMapName is the name of the record.
const ConfigMapName = "ambient-kube-reconciler-baseline"

// Keys of the record.
const (
	createdKey  = "created-at"
	sessionsKey = "session-ids"
	recordedKey = "recorded-at"
)

// pageSize is how many sessions one request of the listing returns.
const pageSize = 500

// Policy says what an empty phase means.
type Policy string

// The policies.
const (
	// OnCreate starts a session as soon as it is created.
	OnCreate Policy = "on-create"
	// OnRequest starts a session when its phase is set to Pending.
	OnRequest Policy = "on-request"
)

// Baseline is the record. Until it is loaded, no session is new.
type Baseline struct {
	kube      kubernetes.Interface
	sessions  versioned.Interface
	namespace string
	policy    Policy

	mutex  sync.Mutex
	loaded bool
	// missing is true if the record was looked for and is lost.
	missing bool
	// created is the time of the newest session of the first listing, with a
	// precision of seconds; ids are the sessions of that very second.
	created time.Time
	ids     []string
}

// New returns a Baseline that is not loaded. The record lives in the namespace.
func New(kube kubernetes.Interface, sessions versioned.Interface, namespace string, policy Policy) *Baseline {
	return &Baseline{kube: kube, sessions: sessions, namespace: namespace, policy: policy}
}

// Unstarted returns why a session that nobody asked to start isn't started, as
// reason and message of condition Projected; both are empty if it is started.
func (b *Baseline) Unstarted(session *v1alpha1.Session) (reason, message string) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if !b.loaded {
		return phase.ReasonBaselineMissing, fmt.Sprintf(
			"ConfigMap %s/%s, which tells old sessions from new ones, is missing although sessions were projected before. Nothing is started until it is restored; key %s holds the creation time (RFC 3339) up to which sessions are old.",
			b.namespace, ConfigMapName, createdKey)
	}
	created := session.CreationTimestamp.UTC().Truncate(time.Second)
	old := created.Before(b.created) || created.Equal(b.created) && (len(b.ids) == 0 || slices.Contains(b.ids, session.Status.SessionID))
	switch {
	case old:
		return phase.ReasonBeforeInstall, "The session was created before sessions were first projected into this cluster; a start request starts it."
	case b.policy == OnRequest:
		return phase.ReasonNotRequested, "Sessions are started on request only."
	default:
		return "", ""
	}
}

// Loaded tells whether the record is known.
func (b *Baseline) Loaded() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.loaded
}

// Missing tells whether the record is lost, so that nothing is started.
func (b *Baseline) Missing() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.missing
}

// Load reads the record, or makes it if sessions were never projected before. It
// returns false if the record is lost: then somebody must restore it. The caller
// says whether anything that sessions leave behind is there.
func (b *Baseline) Load(ctx context.Context, projectedBefore bool) (bool, error) {
	record, err := b.kube.CoreV1().ConfigMaps(b.namespace).Get(ctx, ConfigMapName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if projectedBefore {
			b.mutex.Lock()
			defer b.mutex.Unlock()
			b.missing = true
			return false, nil
		}
		record, err = b.record(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("loading ConfigMap %s/%s: %w", b.namespace, ConfigMapName, err)
	}
	return true, b.read(ctx, record)
}

func (b *Baseline) read(ctx context.Context, record *corev1.ConfigMap) error {
	created, err := time.Parse(time.RFC3339, record.Data[createdKey])
	if err != nil {
		return fmt.Errorf("reading key %s of ConfigMap %s/%s: %w", createdKey, b.namespace, ConfigMapName, err)
	}
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.missing = false
	b.loaded, b.created, b.ids = true, created.UTC().Truncate(time.Second), strings.Fields(record.Data[sessionsKey])
	klog.FromContext(ctx).Info("Sessions created later than the baseline are started", "baseline", b.created, "policy", b.policy)
	return nil
}

// record makes the record from a complete, current listing. Another reconciler
// that was quicker has the say.
func (b *Baseline) record(ctx context.Context) (*corev1.ConfigMap, error) {
	newest, ids, err := b.newest(ctx)
	if err != nil {
		return nil, err
	}
	immutable := true
	record := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name:      ConfigMapName,
			Namespace: b.namespace,
			Labels:    map[string]string{agenticsession.ManagedByLabel: agenticsession.FieldManager},
			Annotations: map[string]string{
				"ambient.io/description": "Sessions created up to created-at were there before the reconciler and are not started unasked. Do not delete.",
			},
		},
		Immutable: &immutable,
		Data: map[string]string{
			createdKey:  newest.Format(time.RFC3339),
			sessionsKey: strings.Join(ids, " "),
			recordedKey: time.Now().UTC().Format(time.RFC3339),
		},
	}
	options := metav1.CreateOptions{FieldManager: agenticsession.FieldManager}
	created, err := b.kube.CoreV1().ConfigMaps(b.namespace).Create(ctx, record, options)
	if apierrors.IsAlreadyExists(err) {
		created, err = b.kube.CoreV1().ConfigMaps(b.namespace).Get(ctx, ConfigMapName, metav1.GetOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("recording the beginning of history: %w", err)
	}
	return created, nil
}

// newest returns the creation time of the newest session, and the ids of the
// sessions of that second; the beginning of time if there is none.
func (b *Baseline) newest(ctx context.Context) (time.Time, []string, error) {
	newest, ids := time.Unix(0, 0).UTC(), []string(nil)
	options := metav1.ListOptions{Limit: pageSize}
	for {
		page, err := b.sessions.AmbientV1alpha1().Sessions(metav1.NamespaceAll).List(ctx, options)
		if err != nil {
			return time.Time{}, nil, fmt.Errorf("listing all sessions: %w", err)
		}
		for i := range page.Items {
			session := &page.Items[i]
			created := session.CreationTimestamp.UTC().Truncate(time.Second)
			switch created.Compare(newest) {
			case 1:
				newest, ids = created, []string{session.Status.SessionID}
			case 0:
				ids = append(ids, session.Status.SessionID)
			}
		}
		if page.Continue == "" {
			slices.Sort(ids)
			return newest, ids, nil
		}
		options.Continue = page.Continue
	}
}
