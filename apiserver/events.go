package apiserver

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// component is the name under which this server reports events.
const component = "ambient-kube-apiserver"

// eventRecorder records what only this server knows: who asked for a start or a
// stop, and why.
type eventRecorder struct {
	broadcaster record.EventBroadcaster
	recorder    record.EventRecorder
}

func newEventRecorder(client kubernetes.Interface, scheme *runtime.Scheme) eventRecorder {
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(placedEvents{&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")}})
	return eventRecorder{broadcaster: broadcaster, recorder: broadcaster.NewRecorder(scheme, corev1.EventSource{Component: component})}
}

// placedEvents leaves out events that have no place: a session may live in a
// namespace that is not there (yet), an event cannot.
type placedEvents struct{ record.EventSink }

// Create implements record.EventSink.
func (p placedEvents) Create(event *corev1.Event) (*corev1.Event, error) {
	created, err := p.EventSink.Create(event)
	if apierrors.IsNotFound(err) {
		return event, nil
	}
	return created, err
}

// requested records an accepted start or stop.
func (r eventRecorder) requested(ctx context.Context, session *v1alpha1.Session, action, reason string) {
	by := "somebody"
	if user, known := genericapirequest.UserFrom(ctx); known && user.GetName() != "" {
		by = user.GetName()
	}
	message := fmt.Sprintf("%s asked for a %s", by, action)
	if reason != "" {
		message += ": " + reason
	}
	r.recorder.Event(session, corev1.EventTypeNormal, "Requested", message)
}

// stop ends the recording; events that are not sent yet are lost.
func (r eventRecorder) stop() { r.broadcaster.Shutdown() }
