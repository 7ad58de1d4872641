package apiserver

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// adoption knows which namespaces exist and belong to somebody else: those that
// were neither made for the project of their name nor given to it.
type adoption struct {
	informer cache.SharedIndexInformer
	lister   corelisters.NamespaceLister
}

func newAdoption(factory informers.SharedInformerFactory) adoption {
	namespaces := factory.Core().V1().Namespaces()
	return adoption{informer: namespaces.Informer(), lister: namespaces.Lister()}
}

// foreign tells whether the namespace exists and belongs to somebody else.
func (a adoption) foreign(name string) bool {
	namespace, err := a.lister.Get(name)
	if errors.IsNotFound(err) {
		return false
	}
	// A cache has no other error; if it had, nobody's namespace is ours.
	return err != nil || isForeign(namespace)
}

func isForeign(namespace *corev1.Namespace) bool {
	made := namespace.Labels[v1alpha1.ManagedByLabel] == v1alpha1.ManagedByReconciler && namespace.Labels[v1alpha1.ProjectIDLabel] == namespace.Name
	return !made && namespace.Annotations[v1alpha1.AdoptAnnotation] != "true"
}

// notify calls changed with the name of each namespace that appears, goes, or
// changes hands.
func (a adoption) notify(changed func(name string)) error {
	_, err := a.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object interface{}) {
			if namespace, ok := object.(*corev1.Namespace); ok {
				changed(namespace.Name)
			}
		},
		UpdateFunc: func(former, object interface{}) {
			before, wasNamespace := former.(*corev1.Namespace)
			after, isNamespace := object.(*corev1.Namespace)
			if wasNamespace && isNamespace && isForeign(before) != isForeign(after) {
				changed(after.Name)
			}
		},
		DeleteFunc: func(object interface{}) {
			if gone, isTombstone := object.(cache.DeletedFinalStateUnknown); isTombstone {
				object = gone.Obj
			}
			if namespace, ok := object.(*corev1.Namespace); ok {
				changed(namespace.Name)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watching namespaces: %w", err)
	}
	return nil
}
