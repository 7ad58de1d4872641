package plugin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	typedv1alpha1 "github.com/ambient-code/ambient-kube/apiserver/client/versioned/typed/ambient/v1alpha1"
)

// goal tells whether a session is where it was to get. An error says that it will
// not get there.
type goal func(session *v1alpha1.Session) (bool, error)

// started: the session, of which a start was requested, runs or did.
func started(session *v1alpha1.Session) (bool, error) {
	switch session.Status.Phase {
	case v1alpha1.SessionRunning, v1alpha1.SessionCompleted:
		return true, nil
	case v1alpha1.SessionStopped, v1alpha1.SessionFailed:
		return false, fmt.Errorf("session %s was started and is %s%s", session.Name, session.Status.Phase, because(session))
	default:
		return false, nil
	}
}

// ended: the session, of which a stop was requested, has ended.
func ended(session *v1alpha1.Session) (bool, error) {
	switch phase := session.Status.Phase; {
	case phase.IsTerminal():
		return true, nil
	case phase == v1alpha1.SessionStopping:
		return false, nil
	default:
		return false, fmt.Errorf("session %s was to be stopped and is %s: it was started again", session.Name, phaseText(phase))
	}
}

// settled: nothing is under way; the session runs, has ended, or is not run.
func settled(session *v1alpha1.Session) (bool, error) {
	switch phase := session.Status.Phase; phase {
	case v1alpha1.SessionRunning:
		return true, nil
	case "":
		return meta.IsStatusConditionFalse(session.Status.Conditions, v1alpha1.ConditionProjected), nil
	default:
		return phase.IsTerminal(), nil
	}
}

// because quotes the condition that explains a session's state best.
func because(session *v1alpha1.Session) string {
	for _, kind := range []string{v1alpha1.ConditionProjected, v1alpha1.ConditionReady} {
		condition := meta.FindStatusCondition(session.Status.Conditions, kind)
		if condition != nil && condition.Status == metav1.ConditionFalse && condition.Message != "" {
			return fmt.Sprintf(" (%s: %s)", condition.Reason, condition.Message)
		}
	}
	return ""
}

// until waits until the session reaches the goal, and returns it as it is then.
// It begins with the state that is given: no older one is looked at.
func (w *waiting) until(ctx context.Context, sessions typedv1alpha1.SessionInterface, session *v1alpha1.Session, goal goal) (*v1alpha1.Session, error) {
	if w.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, w.timeout, fmt.Errorf("not within %s", w.timeout))
		defer cancel()
	}
	f := &follower{sessions: sessions, session: session, goal: goal}
	err := f.run(ctx)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("waiting for session %s, which is %s%s: %w", session.Name, phaseText(f.session.Status.Phase), because(f.session), context.Cause(ctx))
	}
	if err != nil {
		return nil, fmt.Errorf("waiting for session %s: %w", session.Name, err)
	}
	return f.session, nil
}

// follower watches one session.
type follower struct {
	sessions typedv1alpha1.SessionInterface
	// session is the newest known state.
	session *v1alpha1.Session
	goal    goal
}

// run watches until the goal is reached, over watches that end and servers that
// restart.
func (f *follower) run(ctx context.Context) error {
	if reached, err := f.goal(f.session); reached || err != nil {
		return err
	}
	pause := wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 6, Cap: 3 * time.Second}
	for {
		// A watch ends, or can't go on from where it was; then a read says where
		// the session is now.
		for _, look := range []func(context.Context) (bool, error){f.watch, f.read} {
			reached, err := look(ctx)
			if passing := (*interruption)(nil); errors.As(err, &passing) {
				err = nil
			}
			if reached || err != nil {
				return err
			}
		}
		if err := sleep(ctx, pause.Step()); err != nil {
			return err
		}
	}
}

// watch follows the session from its known state on, until the watch ends.
func (f *follower) watch(ctx context.Context) (reached bool, err error) {
	watching, err := f.sessions.Watch(ctx, metav1.ListOptions{
		FieldSelector:   fields.OneTermEqualSelector(metav1.ObjectNameField, f.session.Name).String(),
		ResourceVersion: f.session.ResourceVersion,
	})
	if err != nil {
		return false, judge(err)
	}
	defer watching.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case event, open := <-watching.ResultChan():
			if !open {
				return false, nil
			}
			if reached, err := f.see(event); reached || err != nil {
				return reached, err
			}
		}
	}
}

// see looks at what a watch brought.
func (f *follower) see(event watch.Event) (reached bool, err error) {
	switch event.Type {
	case watch.Error:
		return false, judge(apierrors.FromObject(event.Object))
	case watch.Deleted:
		return false, errDeleted
	case watch.Added, watch.Modified:
		session, ok := event.Object.(*v1alpha1.Session)
		if !ok {
			return false, fmt.Errorf("the watch brought a %T", event.Object)
		}
		return f.take(session)
	default:
		return false, nil
	}
}

func (f *follower) read(ctx context.Context) (reached bool, err error) {
	session, err := f.sessions.Get(ctx, f.session.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, errDeleted
	}
	if err != nil {
		return false, judge(err)
	}
	return f.take(session)
}

func (f *follower) take(session *v1alpha1.Session) (bool, error) {
	if session.UID != f.session.UID {
		return false, errDeleted
	}
	f.session = session
	return f.goal(session)
}

var errDeleted = errors.New("it was deleted")

// interruption is an error that is worth another try.
type interruption struct{ error }

// judge marks what passes: faults of the network, and what servers answer while
// they restart or no longer know a version. A missing right does not pass.
func judge(err error) error {
	var refusal apierrors.APIStatus
	if !errors.As(err, &refusal) || refusal.Status().Code >= http.StatusInternalServerError ||
		apierrors.IsTooManyRequests(err) || apierrors.IsGone(err) || apierrors.IsResourceExpired(err) {
		return &interruption{err}
	}
	return err
}

func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
