package session

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	applyv1alpha1 "github.com/ambient-code/ambient-kube/apiserver/client/applyconfiguration/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/client/versioned"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// Client is everything that a pass asks of the API servers. Reads are current,
// not from a cache. Errors are those of the API machinery.
type Client interface {
	// GetSession reads a Session.
	GetSession(ctx context.Context, namespace, name string) (*v1alpha1.Session, error)
	// ListSessions lists the Sessions that bear the id, in all namespaces.
	ListSessions(ctx context.Context, id string) ([]v1alpha1.Session, error)
	// ApplySessionStatus applies a status, with force.
	ApplySessionStatus(ctx context.Context, configuration *applyv1alpha1.SessionApplyConfiguration) (*v1alpha1.Session, error)

	// RestoreName gives a Session that goes by its id another name, if it is still
	// the object that was read.
	RestoreName(ctx context.Context, session *v1alpha1.Session, name string) error

	// GetResource reads an AgenticSession.
	GetResource(ctx context.Context, namespace, name string) (*unstructured.Unstructured, error)
	// ListResources lists the AgenticSessions that bear the id.
	ListResources(ctx context.Context, key Key) ([]unstructured.Unstructured, error)
	// ApplyResource applies an AgenticSession; without force it is refused where
	// others own a field. With a UID it is refused, as a conflict, unless that very
	// object is there.
	ApplyResource(ctx context.Context, object *unstructured.Unstructured, force bool) (*unstructured.Unstructured, error)
	// PatchResource merges a patch into an AgenticSession.
	PatchResource(ctx context.Context, namespace, name string, patch []byte) (*unstructured.Unstructured, error)
	// DeleteResource deletes an AgenticSession if it is still the object with
	// the UID.
	DeleteResource(ctx context.Context, namespace, name string, uid types.UID) error
}

type client struct {
	sessions  versioned.Interface
	resources dynamic.Interface
}

var _ Client = (*client)(nil)

// NewClient returns the Client that speaks to real API servers.
func NewClient(sessions versioned.Interface, resources dynamic.Interface) Client {
	return &client{sessions: sessions, resources: resources}
}

func (c *client) GetSession(ctx context.Context, namespace, name string) (*v1alpha1.Session, error) {
	session, err := c.sessions.AmbientV1alpha1().Sessions(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading session %s/%s: %w", namespace, name, err)
	}
	return session, nil
}

func (c *client) ListSessions(ctx context.Context, id string) ([]v1alpha1.Session, error) {
	list, err := c.sessions.AmbientV1alpha1().Sessions(metav1.NamespaceAll).List(ctx, withID(id))
	if err != nil {
		return nil, fmt.Errorf("looking for session %s: %w", id, err)
	}
	return list.Items, nil
}

func (c *client) ApplySessionStatus(ctx context.Context, configuration *applyv1alpha1.SessionApplyConfiguration) (*v1alpha1.Session, error) {
	namespace, name := *configuration.Namespace, *configuration.Name
	session, err := c.sessions.AmbientV1alpha1().Sessions(namespace).ApplyStatus(ctx, configuration, applyOptions(true))
	if err != nil {
		return nil, fmt.Errorf("applying the status of session %s/%s: %w", namespace, name, err)
	}
	return session, nil
}

func (c *client) RestoreName(ctx context.Context, session *v1alpha1.Session, name string) error {
	patch, err := json.Marshal(map[string]metav1.ObjectMeta{"metadata": {
		UID: session.UID, ResourceVersion: session.ResourceVersion, Annotations: map[string]string{v1alpha1.RestoreNameAnnotation: name},
	}})
	if err != nil {
		return fmt.Errorf("encoding the name of session %s/%s: %w", session.Namespace, session.Name, err)
	}
	_, err = c.sessions.AmbientV1alpha1().Sessions(session.Namespace).
		Patch(ctx, session.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: agenticsession.FieldManager}, "status")
	if err != nil {
		return fmt.Errorf("giving session %s/%s its name %s back: %w", session.Namespace, session.Name, name, err)
	}
	return nil
}

func (c *client) GetResource(ctx context.Context, namespace, name string) (*unstructured.Unstructured, error) {
	object, err := c.resources.Resource(agenticsession.Resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading AgenticSession %s/%s: %w", namespace, name, err)
	}
	return object, nil
}

func (c *client) ListResources(ctx context.Context, key Key) ([]unstructured.Unstructured, error) {
	list, err := c.resources.Resource(agenticsession.Resource).Namespace(key.Namespace).List(ctx, withID(key.ID))
	if err != nil {
		return nil, fmt.Errorf("looking for the AgenticSession of %s: %w", key, err)
	}
	return list.Items, nil
}

func (c *client) ApplyResource(ctx context.Context, object *unstructured.Unstructured, force bool) (*unstructured.Unstructured, error) {
	applied, err := c.resources.Resource(agenticsession.Resource).Namespace(object.GetNamespace()).Apply(ctx, object.GetName(), object, applyOptions(force))
	if err != nil {
		return nil, fmt.Errorf("applying AgenticSession %s/%s: %w", object.GetNamespace(), object.GetName(), err)
	}
	return applied, nil
}

func (c *client) PatchResource(ctx context.Context, namespace, name string, patch []byte) (*unstructured.Unstructured, error) {
	patched, err := c.resources.Resource(agenticsession.Resource).Namespace(namespace).
		Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: agenticsession.FieldManager})
	if err != nil {
		return nil, fmt.Errorf("patching AgenticSession %s/%s: %w", namespace, name, err)
	}
	return patched, nil
}

func (c *client) DeleteResource(ctx context.Context, namespace, name string, uid types.UID) error {
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}
	if err := c.resources.Resource(agenticsession.Resource).Namespace(namespace).Delete(ctx, name, options); err != nil {
		return fmt.Errorf("deleting AgenticSession %s/%s: %w", namespace, name, err)
	}
	return nil
}

func withID(id string) metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: v1alpha1.SessionIDLabel + "=" + id}
}

func applyOptions(force bool) metav1.ApplyOptions {
	return metav1.ApplyOptions{FieldManager: agenticsession.FieldManager, Force: force}
}
