package leadership

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/klog/v2"
)

// ServingLabel is on the pod that serves, with the value "true": the Service
// selects it.
const ServingLabel = "ambient.io/serving"

const (
	servingValue = "true"
	// nameLabel is on every pod of ours.
	nameLabel = "app.kubernetes.io/name"
	// relabelPause is the pause between two looks at the labels: somebody may have
	// changed them.
	relabelPause = 10 * time.Second
	// successorPoll is the pause between two looks for a successor.
	successorPoll = 200 * time.Millisecond
)

// Pods labels the pod that serves. A nil *Pods labels nothing.
type Pods struct {
	// Client of the pods' namespace.
	Client typedcorev1.PodInterface
	// App is the value of the label app.kubernetes.io/name of all pods of ours, Name
	// the name of the own one.
	App, Name string
}

// Keep keeps the label on the own pod and off all others, until the context ends.
// Failures are tried again. orderly tells that the former leader has released the
// Lease: see takeOver.
func (p *Pods) Keep(ctx context.Context, orderly bool) {
	if p == nil {
		return
	}
	backoff := wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 1 << 30, Cap: relabelPause}
	retry := backoff
	for {
		pause := relabelPause
		if err := p.takeOver(ctx, orderly); err != nil {
			if ctx.Err() == nil {
				klog.FromContext(ctx).Info("Labelling the pod that serves failed, trying again", "err", err)
			}
			pause = retry.Step()
		} else {
			retry = backoff
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// takeOver takes the label off all other pods first: at no time the Service leads to
// two that might serve. One that has released the Lease in order serves nothing but
// discovery, which must not pause: if the label came off it first, kube-apiserver
// would find no endpoint for a moment, and call our API unavailable.
func (p *Pods) takeOver(ctx context.Context, orderly bool) error {
	serving, err := p.serving(ctx)
	if err != nil {
		return err
	}
	own := slices.Contains(serving, p.Name)
	if orderly && !own {
		if err := p.label(ctx, p.Name, true); err != nil {
			return err
		}
		own = true
	}
	for _, name := range serving {
		if name == p.Name {
			continue
		}
		if err := p.label(ctx, name, false); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	if own {
		return nil
	}
	return p.label(ctx, p.Name, true)
}

// serving returns the names of the pods that have the label.
func (p *Pods) serving(ctx context.Context) ([]string, error) {
	selector := labels.SelectorFromSet(labels.Set{nameLabel: p.App, ServingLabel: servingValue})
	pods, err := p.Client.List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, fmt.Errorf("listing the pods that serve: %w", err)
	}
	var names []string
	for i := range pods.Items {
		names = append(names, pods.Items[i].Name)
	}
	return names, nil
}

// label puts the label on a pod, or takes it off.
func (p *Pods) label(ctx context.Context, name string, serving bool) error {
	value := "null"
	if serving {
		value = strconv.Quote(servingValue)
	}
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, ServingLabel, value)
	if _, err := p.Client.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("setting the label %s of pod %s to %s: %w", ServingLabel, name, value, err)
	}
	return nil
}

// AwaitSuccessor waits until another pod has the label, or the context ends.
func (p *Pods) AwaitSuccessor(ctx context.Context) {
	if p == nil {
		return
	}
	err := wait.PollUntilContextCancel(ctx, successorPoll, true, func(ctx context.Context) (bool, error) {
		serving, err := p.serving(ctx)
		if err != nil {
			klog.FromContext(ctx).V(2).Info("Looking for the pod that serves next failed", "err", err)
			return false, nil
		}
		for _, name := range serving {
			if name != p.Name {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		klog.FromContext(ctx).Info("No other pod serves yet; ending nevertheless", "label", ServingLabel)
	}
}
