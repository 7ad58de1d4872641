package session

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// Key names a session by what never changes while it stays in its project.
type Key struct {
	// Namespace is the namespace of the Session and of its AgenticSession.
	Namespace string
	// ID is the exact upstream id.
	ID string
}

// String returns the key as it stands in logs.
func (k Key) String() string { return k.Namespace + "/" + k.ID }

// KeyOfSession returns the key of a Session; the id is empty as long as the
// server has not told it.
func KeyOfSession(session *v1alpha1.Session) Key {
	id := session.Status.SessionID
	if id == "" {
		id = session.Labels[v1alpha1.SessionIDLabel]
	}
	return Key{Namespace: session.Namespace, ID: id}
}

// home returns the key that the session has, or would have if the namespace of its
// project were its project's.
func home(session *v1alpha1.Session) Key {
	key := KeyOfSession(session)
	if project := session.Status.ProjectID; project != "" {
		key.Namespace = project
	}
	return key
}

// KeyOfResource returns the key that an AgenticSession's label names.
func KeyOfResource(resource *unstructured.Unstructured) Key {
	return Key{Namespace: resource.GetNamespace(), ID: resource.GetLabels()[v1alpha1.SessionIDLabel]}
}

const (
	keyIndex  = "key"
	homeIndex = "home"
)

// Indexers are the indexes that the informers of Sessions and of AgenticSessions
// need.
func Indexers() cache.Indexers {
	return cache.Indexers{
		keyIndex: func(object any) ([]string, error) {
			switch object := object.(type) {
			case *v1alpha1.Session:
				return []string{KeyOfSession(object).String()}, nil
			case *unstructured.Unstructured:
				return []string{KeyOfResource(object).String()}, nil
			default:
				return nil, fmt.Errorf("cannot index a %T", object)
			}
		},
		homeIndex: func(object any) ([]string, error) {
			session, ok := object.(*v1alpha1.Session)
			if !ok || home(session) == KeyOfSession(session) {
				return nil, nil
			}
			return []string{home(session).String()}, nil
		},
		cache.NamespaceIndex: cache.MetaNamespaceIndexFunc,
	}
}

// lookUp returns the objects of type T that the index holds under the key.
func lookUp[T any](indexer cache.Indexer, index, value string) ([]T, error) {
	objects, err := indexer.ByIndex(index, value)
	if err != nil {
		return nil, fmt.Errorf("looking up %s %s: %w", index, value, err)
	}
	result := make([]T, 0, len(objects))
	for _, object := range objects {
		typed, ok := object.(T)
		if !ok {
			return nil, fmt.Errorf("looking up %s %s: unexpected %T", index, value, object)
		}
		result = append(result, typed)
	}
	return result, nil
}
