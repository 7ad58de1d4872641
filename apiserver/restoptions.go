package apiserver

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage/storagebackend"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/backend"
	"github.com/ambient-code/ambient-kube/apiserver/ownership"
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

// computedConditions are the conditions of each kind that this server fills in
// itself.
var (
	computedConditions        = []string{v1alpha1.ConditionTranslated}
	computedSessionConditions = []string{
		v1alpha1.ConditionReady, v1alpha1.ConditionStalled, v1alpha1.ConditionTranslated, v1alpha1.ConditionNameConflict, v1alpha1.ConditionNamespaceNotAdopted,
	}
)

// served is what a resource is made of.
type served struct {
	kind string
	// readOnly are the fields of the specification that no client can set.
	readOnly []string
	// computed are the fields of the status that nobody reports.
	computed   []string
	conditions []string
	storage    storage.Options
}

func newRESTOptionsGetter(codec runtime.Codec, converter managedfields.TypeConverter, backends *backend.Backends, verifyReads bool) restOptionsGetter {
	isProject := func(namespace string) bool { return backends.Projects.Known(namespace) }
	getter := restOptionsGetter{}
	for resource, served := range map[string]served{
		"sessions": {
			kind: "Session", readOnly: []string{"createdBy", "agentID"}, computed: []string{"sessionID", "projectID"}, conditions: computedSessionConditions,
			storage: storage.Options{Journal: backends.SessionJournal, Backend: backends.Sessions, MayHold: isProject},
		},
		"projects": {
			kind: "Project", computed: []string{"upstreamName", "phase"}, conditions: computedConditions,
			storage: storage.Options{Journal: backends.ProjectJournal, Backend: backends.Projects},
		},
		"projectsettings": {
			kind: "ProjectSettings", computed: []string{"settingsID"}, conditions: computedConditions,
			storage: storage.Options{Journal: backends.SettingsJournal, Backend: backends.Settings, MayHold: isProject},
		},
	} {
		owner := &ownership.DerivedOwners{
			Kind: v1alpha1.SchemeGroupVersion.WithKind(served.kind), Converter: converter,
			ReadOnly: served.readOnly, Computed: served.computed, ComputedConditions: served.conditions,
			RequestPhases: []string{string(v1alpha1.SessionPending), string(v1alpha1.SessionStopping)},
		}
		options := served.storage
		options.VerifyReads = verifyReads
		options.PrepareExisting = owner.Derive
		options.Settle = owner.Settle
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
	return getter
}
