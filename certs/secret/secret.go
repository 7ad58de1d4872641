// Package secret keeps the rotation of a certificate authority in a Secret, where
// all replicas and programs find it.
//
// It owns how they agree: the Secret is made once, and whoever comes second takes
// the winner's; every step is written against the version that it was decided on.
// It must not know who trusts the authorities, or what they sign.
package secret

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/certs"
	"github.com/ambient-code/ambient-kube/certs/internal/watching"
	"github.com/ambient-code/ambient-kube/certs/rotation"
)

// RotateAnnotation on the Secret, with any value, asks for a new authority now. It
// is taken off when that is made.
const RotateAnnotation = "ambient.io/rotate-now"

// attempts bounds how often a step is decided anew because somebody else was
// faster. Each time, somebody has made a step.
const attempts = 10

// Store keeps the rotation. Its methods may be called at the same time.
type Store struct {
	// Client reads and writes the Secret, Dynamic watches it.
	Client  kubernetes.Interface
	Dynamic dynamic.Interface
	// Namespace and Name are the Secret's.
	Namespace, Name string
	// Policy says how long things take.
	Policy rotation.Policy
}

// Sync takes the steps that are due and returns where the rotation stands. What is
// trusted already stays trusted for a while where the Secret was lost or can't be
// read.
func (s *Store) Sync(ctx context.Context, trusted certs.Bundle) (*rotation.State, error) {
	for range attempts {
		held, err := s.Client.CoreV1().Secrets(s.Namespace).Get(ctx, s.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			state, err := s.create(ctx, trusted)
			if apierrors.IsAlreadyExists(err) {
				continue
			}
			return state, err
		case err != nil:
			return nil, fmt.Errorf("reading Secret %s: %w", s.Name, err)
		}
		state, err := s.advance(ctx, held, trusted)
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			continue
		}
		return state, err
	}
	return nil, errors.New("others changed Secret " + s.Name + " again and again")
}

func (s *Store) create(ctx context.Context, trusted certs.Bundle) (*rotation.State, error) {
	state, err := rotation.New(s.Policy, trusted)
	if err != nil {
		return nil, err
	}
	data, err := state.Encode(nil)
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Labels: map[string]string{"app.kubernetes.io/name": "ambient-kube"}},
		Type:       corev1.SecretTypeTLS,
		Data:       data,
	}
	if _, err := s.Client.CoreV1().Secrets(s.Namespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("creating Secret %s: %w", s.Name, err)
	}
	klog.FromContext(ctx).Info("Made a certificate authority", "secret", s.Name, "notAfter", state.Signing().NotAfter())
	return state, nil
}

// advance writes the steps that are due against the version that was read.
func (s *Store) advance(ctx context.Context, held *corev1.Secret, trusted certs.Bundle) (*rotation.State, error) {
	logger := klog.FromContext(ctx)
	_, requested := held.Annotations[RotateAnnotation]
	var steps []string
	state, err := rotation.Decode(held.Data, s.Policy)
	if err != nil {
		logger.Info("The certificate authority can't be read, another one is made", "secret", s.Name, "reason", err.Error())
		if bundle, err := certs.ParseBundle(held.Data[rotation.BundleKey]); err == nil {
			trusted = trusted.With(bundle...)
		}
		if state, err = rotation.New(s.Policy, trusted); err != nil {
			return nil, err
		}
		steps = []string{"replaced"}
	} else if steps, err = state.Advance(s.Policy, requested); err != nil {
		return nil, err
	}
	if len(steps) == 0 && !requested {
		return state, nil
	}
	changed := held.DeepCopy()
	delete(changed.Annotations, RotateAnnotation)
	if changed.Data, err = state.Encode(held.Data); err != nil {
		return nil, err
	}
	if _, err := s.Client.CoreV1().Secrets(s.Namespace).Update(ctx, changed, metav1.UpdateOptions{}); err != nil {
		return nil, fmt.Errorf("updating Secret %s: %w", s.Name, err)
	}
	logger.Info("The certificate authority was rotated", "secret", s.Name, "step", strings.Join(steps, ", "),
		"notAfter", state.Signing().NotAfter(), "trusted", len(state.Bundle()))
	return state, nil
}

// Watch calls changed whenever the Secret changes, until ctx ends.
func (s *Store) Watch(ctx context.Context, changed func()) error {
	return watching.Object(ctx, s.Dynamic, corev1.SchemeGroupVersion.WithResource("secrets"), s.Namespace, s.Name, changed)
}
