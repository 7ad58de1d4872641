package project

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/client/versioned"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// Options are what a Controller is made of.
type Options struct {
	Projects versioned.Interface
	Kube     kubernetes.Interface
	Stores   Stores
	Gate     *Gate
	// Cluster is the UID of the namespace kube-system of this cluster. It projects
	// only the projects that it has claimed.
	Cluster string
	// Reserved are further namespaces that no project may use.
	Reserved []string
	// Leftover decides what becomes of the namespace of a project that is gone.
	Leftover *Leftover
	Events   record.EventRecorder
}

// Controller makes passes over Projects.
type Controller struct {
	Options
	foreign foreign
}

// New returns a Controller.
func New(options Options) *Controller { return &Controller{Options: options} }

// Reconcile makes one pass over the project with the id.
func (c *Controller) Reconcile(ctx context.Context, id string) (time.Duration, error) {
	object, found, err := c.Stores.Projects.GetByKey(id)
	if err != nil {
		return 0, fmt.Errorf("looking up project %s: %w", id, err)
	}
	project, ok := object.(*v1alpha1.Project)
	if !found || !ok {
		c.forget(id)
		return c.Leftover.reconcile(ctx, id)
	}
	c.Leftover.present(id)
	project, err = c.claim(ctx, project)
	if err != nil || project == nil {
		return 0, err
	}
	now, err := c.project(ctx, project)
	if err != nil {
		return 0, err
	}
	return 0, c.report(ctx, project, now)
}

// project makes the project's namespace stand, as far as it may.
func (c *Controller) project(ctx context.Context, project *v1alpha1.Project) (state, error) {
	id := project.Name
	if Reserved(id, c.Reserved...) {
		return stateReserved(id), nil
	}
	namespace, err := c.namespace(ctx, project)
	if err != nil {
		return state{}, err
	}
	switch {
	case terminating(namespace):
		return stateTerminating(id), nil
	case !Ours(namespace, id) && !adopted(namespace):
		return stateNotAdopted(id), nil
	}
	if !labelled(namespace, id) || namespace.Annotations[GoneAnnotation] != "" {
		if namespace, err = c.open(ctx, project, namespace); err != nil {
			return state{}, err
		}
	}
	if err := c.secret(ctx, namespace); err != nil {
		return state{}, err
	}
	return stateReady(id), nil
}

// namespace returns the project's namespace, and makes it if there is none. It is
// made by a create, not by an apply, which would take over one that somebody else
// makes at the same time.
func (c *Controller) namespace(ctx context.Context, project *v1alpha1.Project) (*corev1.Namespace, error) {
	object, found, err := c.Stores.Namespaces.GetByKey(project.Name)
	if err != nil {
		return nil, fmt.Errorf("looking up namespace %s: %w", project.Name, err)
	}
	if held, ok := object.(*corev1.Namespace); found && ok {
		return held, nil
	}
	wanted := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: project.Name, Labels: namespaceLabels(project.Name)}}
	made, err := c.Kube.CoreV1().Namespaces().Create(ctx, wanted, metav1.CreateOptions{FieldManager: agenticsession.FieldManager})
	if apierrors.IsAlreadyExists(err) {
		made, err = c.Kube.CoreV1().Namespaces().Get(ctx, project.Name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("reading namespace %s: %w", project.Name, err)
		}
		return made, nil
	}
	if err != nil {
		return nil, fmt.Errorf("making namespace %s: %w", project.Name, err)
	}
	klog.FromContext(ctx).Info("Namespace made", "namespace", made.Name)
	c.Events.Eventf(project, corev1.EventTypeNormal, "NamespaceCreated", "Made namespace %s", made.Name)
	return made, nil
}

// open puts our labels on a namespace that is ours or may be adopted, and takes
// the mark of a deleted project away.
func (c *Controller) open(ctx context.Context, project *v1alpha1.Project, held *corev1.Namespace) (*corev1.Namespace, error) {
	wasOurs := Ours(held, project.Name)
	configuration := applycorev1.Namespace(held.Name).WithUID(held.UID).WithLabels(namespaceLabels(project.Name))
	options := metav1.ApplyOptions{FieldManager: agenticsession.FieldManager, Force: true}
	opened, err := c.Kube.CoreV1().Namespaces().Apply(ctx, configuration, options)
	if err != nil {
		return nil, fmt.Errorf("labelling namespace %s: %w", held.Name, err)
	}
	if opened.Annotations[GoneAnnotation] != "" {
		if opened, err = annotate(ctx, c.Kube, opened, nil); err != nil {
			return nil, err
		}
	}
	if !wasOurs {
		klog.FromContext(ctx).Info("Namespace adopted", "namespace", held.Name)
		c.Events.Eventf(project, corev1.EventTypeNormal, "NamespaceAdopted", "Adopted namespace %s", held.Name)
	}
	return opened, nil
}

// annotate sets the mark of a deleted project, or takes it away (nil).
func annotate(ctx context.Context, kube kubernetes.Interface, namespace *corev1.Namespace, value *string) (*corev1.Namespace, error) {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":         namespace.UID,
		"annotations": map[string]*string{GoneAnnotation: value},
	}})
	if err != nil {
		return nil, fmt.Errorf("encoding an annotation: %w", err)
	}
	patched, err := kube.CoreV1().Namespaces().Patch(ctx, namespace.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: agenticsession.FieldManager})
	if err != nil {
		return nil, fmt.Errorf("marking namespace %s: %w", namespace.Name, err)
	}
	return patched, nil
}

// secret makes the runner secret if it is missing. One that is there belongs to
// the project's people and is left alone.
func (c *Controller) secret(ctx context.Context, namespace *corev1.Namespace) error {
	if c.Gate.hasSecret(namespace) {
		return nil
	}
	_, err := c.Kube.CoreV1().Secrets(namespace.Name).Create(ctx, newSecret(namespace.Name), metav1.CreateOptions{FieldManager: agenticsession.FieldManager})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making secret %s/%s: %w", namespace.Name, SecretName, err)
	}
	if err == nil {
		klog.FromContext(ctx).Info("Runner secret made", "namespace", namespace.Name)
	}
	c.Gate.secretMade(namespace)
	return nil
}
