package reconciler

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/project"
	"github.com/ambient-code/ambient-kube/reconciler/session"
)

// handlers returns, for each informer by its name, what its changes set off.
func (r *run) handlers() map[string]cache.ResourceEventHandler {
	return map[string]cache.ResourceEventHandler{
		"sessions":        r.sessionChanges(),
		"agenticsessions": r.resourceChanges(),
		"projects":        r.projectChanges(),
		"projectsettings": every(func(object *v1alpha1.ProjectSettings) { r.settings.Add(object.Namespace) },
			func(object *v1alpha1.ProjectSettings) { r.settingsPasses.Deleted(object.Namespace) }),
		"rolebindings":                every(func(object *rbacv1.RoleBinding) { r.settings.Add(object.Namespace) }, nil),
		"the operator's rolebindings": every(func(object *rbacv1.RoleBinding) { r.settings.Add(object.Namespace) }, nil),
		"namespaces":                  r.namespaceChanges(),
		"secrets":                     r.secretChanges(),
	}
}

// every returns a handler that calls changed for every change, and before that
// proven for a deletion that was received as an event.
func every[T metav1.Object](changed, proven func(object T)) cache.ResourceEventHandler {
	return changes[T]{
		added:   changed,
		changed: func(_, after T) { changed(after) },
		deleted: func(object T, proof bool) {
			if proof && proven != nil {
				proven(object)
			}
			changed(object)
		},
	}
}

func (r *run) sessionChanges() cache.ResourceEventHandler {
	return changes[*v1alpha1.Session]{
		added:   func(object *v1alpha1.Session) { r.sessions.Add(session.KeyOfSession(object)) },
		changed: func(_, after *v1alpha1.Session) { r.sessions.Add(session.KeyOfSession(after)) },
		deleted: func(object *v1alpha1.Session, proof bool) {
			for _, key := range r.sessionPasses.SessionDeleted(object, proof) {
				r.sessions.AddAfter(key, session.RemovalPause())
			}
		},
	}
}

func (r *run) resourceChanges() cache.ResourceEventHandler {
	look := func(object *unstructured.Unstructured) {
		r.sessions.AddAfter(session.KeyOfResource(object), r.sessionPasses.ResourceChanged(object))
	}
	return changes[*unstructured.Unstructured]{
		added: look,
		changed: func(before, after *unstructured.Unstructured) {
			look(after)
			if session.KeyOfResource(before) != session.KeyOfResource(after) {
				look(before)
			}
		},
		deleted: func(object *unstructured.Unstructured, _ bool) {
			r.sessionPasses.ResourceDeleted(object)
			r.sessions.Add(session.KeyOfResource(object))
		},
	}
}

// projectChanges: to the sessions, only that a project is there matters, and whose
// it is.
func (r *run) projectChanges() cache.ResourceEventHandler {
	comeOrGone := func(object *v1alpha1.Project) {
		r.projects.Add(object.Name)
		r.touch(object.Name)
	}
	return changes[*v1alpha1.Project]{
		added: func(object *v1alpha1.Project) {
			r.gate.ProjectShown(object, false)
			comeOrGone(object)
		},
		changed: func(before, after *v1alpha1.Project) {
			const wish = v1alpha1.ProjectIntoAnnotation
			if before.Status.Cluster != after.Status.Cluster || before.Annotations[wish] != after.Annotations[wish] {
				comeOrGone(after)
				return
			}
			r.projects.Add(after.Name)
		},
		deleted: func(object *v1alpha1.Project, proof bool) {
			if proof {
				r.leftover.ProjectDeleted(object.Name)
				r.settingsPasses.ProjectDeleted(object.Name)
			}
			r.gate.ProjectShown(object, true)
			comeOrGone(object)
		},
	}
}

// secretChanges: only that the runner secret is there matters.
func (r *run) secretChanges() cache.ResourceEventHandler {
	comeOrGone := func(object *metav1.PartialObjectMetadata) {
		r.gate.SecretShown(object.Namespace)
		r.projects.Add(object.Namespace)
		r.touch(object.Namespace)
	}
	return changes[*metav1.PartialObjectMetadata]{
		added:   comeOrGone,
		changed: func(_, _ *metav1.PartialObjectMetadata) {},
		deleted: func(object *metav1.PartialObjectMetadata, _ bool) { comeOrGone(object) },
	}
}

func (r *run) namespaceChanges() cache.ResourceEventHandler {
	look := func(object *corev1.Namespace) {
		r.projects.Add(object.Name)
		if id := project.ProjectOf(object); id != "" && id != object.Name {
			r.projects.Add(id)
		}
		r.settings.Add(object.Name)
		r.touch(object.Name)
	}
	return changes[*corev1.Namespace]{
		added: look,
		changed: func(before, after *corev1.Namespace) {
			same := maps.Equal(before.Labels, after.Labels) && maps.Equal(before.Annotations, after.Annotations) &&
				(before.DeletionTimestamp == nil) == (after.DeletionTimestamp == nil)
			if !same {
				look(after)
			}
		},
		deleted: func(object *corev1.Namespace, _ bool) { look(object) },
	}
}

// touch asks for a pass over all sessions and the settings in a namespace.
func (r *run) touch(namespace string) {
	r.settings.Add(namespace)
	objects, err := r.informers.sessions.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		r.logger.Error(err, "Sessions of a namespace can't be found", "namespace", namespace)
		return
	}
	for _, object := range objects {
		if typed, ok := object.(*v1alpha1.Session); ok {
			r.sessions.Add(session.KeyOfSession(typed))
		}
	}
}

// touchSettings asks for a pass over all settings, and over the namespaces whose
// settings are gone.
func (r *run) touchSettings() {
	for _, key := range r.informers.namespaces.GetStore().ListKeys() {
		r.settings.Add(key)
	}
}
