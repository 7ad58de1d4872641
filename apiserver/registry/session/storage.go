// Package session owns how Sessions are served: what happens to one that is
// created or updated, what it looks like in a table, what can be selected by,
// and the subresources status, start and stop.
//
// It must not know the upstream: objects go to whatever storage the options
// getter provides.
package session

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/registry/internal/resource"
)

// Hooks are called on the way of a request. Each may be nil.
type Hooks struct {
	// BeforeCreate and BeforeDelete refuse with an error; see resource.Hooks.
	BeforeCreate func(ctx context.Context, object runtime.Object) error
	BeforeDelete func(ctx context.Context, object runtime.Object) error
	// AfterRequest is told of each start or stop that was accepted, dry runs
	// excluded, with the reason that the client gave.
	AfterRequest func(ctx context.Context, session *v1alpha1.Session, action, reason string)
}

// Storage holds what serves each path of the resource.
type Storage struct {
	Session rest.StandardStorage
	Status  rest.Storage
	Start   rest.Storage
	Stop    rest.Storage
}

// NewREST returns the storage of Sessions. The scheme must know the group.
func NewREST(scheme *runtime.Scheme, getter generic.RESTOptionsGetter, hooks Hooks) (Storage, error) {
	base := resource.NewBase(scheme, true)
	sessions, status, err := resource.New(resource.Definition{
		Plural: "sessions", Singular: "session", ShortNames: []string{"sess"},
		New:            func() runtime.Object { return &v1alpha1.Session{} },
		NewList:        func() runtime.Object { return &v1alpha1.SessionList{} },
		Strategy:       strategy{Base: base},
		StatusStrategy: statusStrategy{Base: base},
		Attributes:     Attributes,
		Table:          newTable(time.Now),
	}, getter, resource.Hooks{BeforeCreate: hooks.BeforeCreate, BeforeDelete: hooks.BeforeDelete})
	if err != nil {
		return Storage{}, err
	}
	return Storage{
		Session: sessions,
		Status:  status,
		Start:   newAction(start, status, hooks.AfterRequest),
		Stop:    newAction(stop, status, hooks.AfterRequest),
	}, nil
}
