package session

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// theID is the name of the session while nobody knows the one that was chosen.
var theID = strings.ToLower(id)

// nameOnResource is the name that the AgenticSession has for the Session.
func (w *world) nameOnResource() string {
	return w.resources[resourceName].GetAnnotations()[agenticsession.SessionNameAnnotation]
}

// losesItsName projects the session "a" and takes its name away while the
// reconciler is down.
func losesItsName(t *testing.T) *world {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.settle()
	w.rename("a", theID)
	w.restart()
	return w
}

func TestDecision13ALostNameIsRestoredFromTheAgenticSession(t *testing.T) {
	w := losesItsName(t)
	before := w.resources[resourceName].GetUID()
	w.settle()
	if w.sessions["a"] == nil || len(w.sessions) != 1 || w.writes["name"] != 1 {
		t.Fatalf("sessions %v after %d names given back", w.sessions, w.writes["name"])
	}
	if w.nameOnResource() != "a" || w.resources[resourceName].GetUID() != before || len(w.resources) != 1 {
		t.Errorf("the AgenticSession is named for %q, its uid was %s and is %s", w.nameOnResource(), before, w.resources[resourceName].GetUID())
	}
}

func TestDecision13ANameThatCannotBeRestoredIsGivenUp(t *testing.T) {
	refused := losesItsName(t)
	refused.refuseNames = true
	refused.settle()
	taken := losesItsName(t)
	taken.addSession("a", "3DeF", v1alpha1.SessionRunning)
	taken.settle()
	for why, w := range map[string]*world{"refused": refused, "taken by another session": taken} {
		if w.sessions[theID] == nil || w.nameOnResource() != theID {
			t.Errorf("%s: the session should go by its id, and so should its AgenticSession, which says %q", why, w.nameOnResource())
		}
	}
	if taken.writes["name"] != 0 {
		t.Error("a name of another session was asked for")
	}
}

func TestDecision13ANameEditedOnTheAgenticSessionIsHealed(t *testing.T) {
	for _, meanwhileDown := range []bool{false, true} {
		w := newWorld(t)
		w.addSession(theID, id, "")
		w.settle()
		w.changeResource(resourceName, func(resource *unstructured.Unstructured) {
			annotations := resource.GetAnnotations()
			annotations[agenticsession.SessionNameAnnotation] = "mine"
			resource.SetAnnotations(annotations)
			// Whoever changes a field owns it.
			entries := resource.GetManagedFields()
			entries[0].FieldsV1.Raw = []byte(strings.Replace(string(entries[0].FieldsV1.Raw), `"f:`+agenticsession.SessionNameAnnotation+`":{}`, `"f:other":{}`, 1))
			resource.SetManagedFields(entries)
		})
		if meanwhileDown {
			w.restart()
		}
		w.settle()
		if w.writes["name"] != 0 || w.nameOnResource() != theID {
			t.Errorf("the session was renamed %d times; its AgenticSession says %q", w.writes["name"], w.nameOnResource())
		}
	}
}
