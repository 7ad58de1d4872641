package plugin

import (
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/client/versioned/fake"
)

func inPhase(phase v1alpha1.SessionPhase) *v1alpha1.Session {
	return &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "one", UID: "1", ResourceVersion: "5"},
		Status:     v1alpha1.SessionStatus{Phase: phase},
	}
}

func TestWhenGoalsAreReached(t *testing.T) {
	const yes, no, never = "yes", "no", "never"
	for _, test := range []struct {
		name string
		goal goal
		want map[v1alpha1.SessionPhase]string
	}{
		{"started", started, map[v1alpha1.SessionPhase]string{
			"": no, "Pending": no, "Creating": no, "Running": yes, "Stopping": no, "Stopped": never, "Completed": yes, "Failed": never,
		}},
		{"ended", ended, map[v1alpha1.SessionPhase]string{
			"": never, "Pending": never, "Creating": never, "Running": never, "Stopping": no, "Stopped": yes, "Completed": yes, "Failed": yes,
		}},
		{"settled", settled, map[v1alpha1.SessionPhase]string{
			"": no, "Pending": no, "Creating": no, "Running": yes, "Stopping": no, "Stopped": yes, "Completed": yes, "Failed": yes,
		}},
	} {
		for phase, want := range test.want {
			reached, err := test.goal(inPhase(phase))
			got := map[bool]string{true: yes, false: no}[reached]
			if err != nil {
				got = never
			}
			if got != want {
				t.Errorf("%s in phase %q: %s, want %s", test.name, phase, got, want)
			}
		}
	}
}

func TestASessionThatIsNotRunHasSettled(t *testing.T) {
	session := inPhase("")
	session.Status.Conditions = []metav1.Condition{{Type: "Projected", Status: "False", Reason: "CreatedBeforeInstall"}}
	if reached, err := settled(session); !reached || err != nil {
		t.Errorf("%v %v", reached, err)
	}
}

// served answers watches one after the other, and reads with the session.
type served struct {
	watches []func() (watch.Interface, error)
	read    *v1alpha1.Session
}

func (s served) until(t *testing.T, timeout time.Duration, goal goal) (*v1alpha1.Session, error) {
	t.Helper()
	client := fake.NewClientset()
	opened := 0
	client.PrependWatchReactor("sessions", func(clienttesting.Action) (bool, watch.Interface, error) {
		if opened == len(s.watches) {
			return true, watch.NewFake(), nil
		}
		opened++
		watching, err := s.watches[opened-1]()
		return true, watching, err
	})
	client.PrependReactor("get", "sessions", func(clienttesting.Action) (bool, runtime.Object, error) {
		if s.read == nil {
			return true, nil, apierrors.NewNotFound(v1alpha1.Resource("sessions"), "one")
		}
		return true, s.read, nil
	})
	w := waiting{timeout: timeout}
	return w.until(t.Context(), client.AmbientV1alpha1().Sessions("n"), inPhase(v1alpha1.SessionPending), goal)
}

// events is a watch that brings events and ends.
func events(list ...watch.Event) func() (watch.Interface, error) {
	return func() (watch.Interface, error) {
		watching := watch.NewFakeWithChanSize(len(list), false)
		for _, event := range list {
			watching.Action(event.Type, event.Object)
		}
		watching.Stop()
		return watching, nil
	}
}

func modified(phase v1alpha1.SessionPhase) watch.Event {
	return watch.Event{Type: watch.Modified, Object: inPhase(phase)}
}

func failing(err error) func() (watch.Interface, error) {
	return func() (watch.Interface, error) { return nil, err }
}

func TestWaiting(t *testing.T) {
	expired := apierrors.NewResourceExpired("too old")
	another := inPhase(v1alpha1.SessionRunning)
	another.UID = "2"
	for _, test := range []struct {
		name   string
		served served
		want   string
	}{
		{"the goal comes by the watch", served{watches: []func() (watch.Interface, error){events(modified("Creating"), modified("Running"))}}, ""},
		{"the watch ends before", served{watches: []func() (watch.Interface, error){events(modified("Creating"))}, read: inPhase("Running")}, ""},
		{"by the second watch", served{watches: []func() (watch.Interface, error){events(), events(modified("Running"))}, read: inPhase("Pending")}, ""},
		{"the version is too old", served{watches: []func() (watch.Interface, error){failing(expired)}, read: inPhase("Running")}, ""},
		{"the same as an event", served{watches: []func() (watch.Interface, error){events(watch.Event{Type: watch.Error, Object: &expired.ErrStatus})}, read: inPhase("Running")}, ""},
		{"the server is away", served{watches: []func() (watch.Interface, error){failing(errors.New("connection refused")), failing(apierrors.NewServiceUnavailable("soon"))}, read: inPhase("Running")}, ""},
		{"no right to watch", served{watches: []func() (watch.Interface, error){failing(apierrors.NewForbidden(v1alpha1.Resource("sessions"), "one", errors.New("no")))}, read: inPhase("Running")}, "forbidden"},
		{"it fails", served{watches: []func() (watch.Interface, error){events(modified("Failed"))}}, "is Failed"},
		{"it is deleted", served{watches: []func() (watch.Interface, error){events(watch.Event{Type: watch.Deleted, Object: inPhase("Running")})}}, "deleted"},
		{"it is deleted while nobody watches", served{watches: []func() (watch.Interface, error){events()}}, "deleted"},
		{"another has its name", served{watches: []func() (watch.Interface, error){events()}, read: another}, "deleted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			session, err := test.served.until(t, 0, started)
			switch {
			case test.want == "" && (err != nil || session.Status.Phase != v1alpha1.SessionRunning):
				t.Errorf("%+v, %v", session, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
		})
	}
}

func TestWaitingEndsInTime(t *testing.T) {
	_, err := served{}.until(t, time.Millisecond, started)
	if err == nil || !strings.Contains(err.Error(), "which is Pending: not within 1ms") {
		t.Errorf("error %v", err)
	}
}
