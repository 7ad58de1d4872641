package apiserver

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage/storagebackend"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/backend"
	"github.com/ambient-code/ambient-kube/apiserver/storage"
	"github.com/ambient-code/ambient-kube/apiserver/translate"
)

// eventsHistoryWindow is how long the cache remembers events at the least; the
// library refuses less than 75 s.
const eventsHistoryWindow = 90 * time.Second

// deleteCollectionWorkers is how many objects of a collection are deleted at a
// time, well below what the upstream bears.
const deleteCollectionWorkers = 4

// restOptionsGetter gives each resource its storage.
type restOptionsGetter map[schema.GroupResource]generic.RESTOptions

var _ generic.RESTOptionsGetter = restOptionsGetter{}

// GetRESTOptions returns the storage options of a resource.
func (g restOptionsGetter) GetRESTOptions(resource schema.GroupResource, _ runtime.Object) (generic.RESTOptions, error) {
	options, found := g[resource]
	if !found {
		return generic.RESTOptions{}, fmt.Errorf("there is no storage for %s", resource)
	}
	return options, nil
}

func newRESTOptionsGetter(codec runtime.Codec, backends *backend.Backends) (restOptionsGetter, error) {
	isProject := func(namespace string) bool { return backends.Projects.Known(namespace) }
	getter := restOptionsGetter{}
	for resource, options := range map[string]storage.Options{
		"sessions":        {Journal: backends.SessionJournal, Backend: backends.Sessions, MayHold: isProject},
		"projects":        {Journal: backends.ProjectJournal, Backend: backends.Projects},
		"projectsettings": {Journal: backends.SettingsJournal, Backend: backends.Settings, MayHold: isProject},
	} {
		options.Unchanged = translate.Equal
		getter[v1alpha1.Resource(resource)] = generic.RESTOptions{
			StorageConfig: &storagebackend.ConfigForResource{
				Config:        storagebackend.Config{Codec: codec, EventsHistoryWindow: eventsHistoryWindow},
				GroupResource: v1alpha1.Resource(resource),
			},
			Decorator:               storage.Decorator(options),
			EnableGarbageCollection: true,
			DeleteCollectionWorkers: deleteCollectionWorkers,
			ResourcePrefix:          "/" + resource,
		}
	}
	return getter, nil
}
