package session

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/util/dryrun"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// maxReasonBytes limits what clients may say about a start or stop.
const maxReasonBytes = 1024

// transition is what a start or stop does to the phase.
type transition struct {
	name string
	done string // for messages: "cannot be …"
	from []v1alpha1.SessionPhase
	to   v1alpha1.SessionPhase
	// whileDeleting allows the transition for a session that is being deleted.
	whileDeleting bool
}

var (
	start = transition{
		name: "start", done: "started", to: v1alpha1.SessionPending,
		from: []v1alpha1.SessionPhase{"", v1alpha1.SessionStopped, v1alpha1.SessionFailed, v1alpha1.SessionCompleted},
	}
	stop = transition{
		name: "stop", done: "stopped", to: v1alpha1.SessionStopping, whileDeleting: true,
		from: []v1alpha1.SessionPhase{v1alpha1.SessionRunning, v1alpha1.SessionCreating, v1alpha1.SessionPending},
	}
)

// apply returns the session after the transition, or a 409 that names the phase.
func (t transition) apply(session *v1alpha1.Session) (*v1alpha1.Session, error) {
	refuse := func(format string, arguments ...any) error {
		return apierrors.NewConflict(v1alpha1.Resource("sessions"), session.Name, fmt.Errorf(format, arguments...))
	}
	if session.DeletionTimestamp != nil && !t.whileDeleting {
		return nil, refuse("a session that is being deleted cannot be %s", t.done)
	}
	if !slices.Contains(t.from, session.Status.Phase) {
		return nil, refuse("a session in phase %s cannot be %s, only one in phase %s", phaseName(session.Status.Phase), t.done, phaseNames(t.from))
	}
	next := session.DeepCopy()
	next.Status.Phase = t.to
	return next, nil
}

func phaseName(phase v1alpha1.SessionPhase) string {
	if phase == "" {
		return `"" (never started)`
	}
	return string(phase)
}

func phaseNames(phases []v1alpha1.SessionPhase) string {
	texts := make([]string, 0, len(phases))
	for _, phase := range phases {
		texts = append(texts, phaseName(phase))
	}
	return strings.Join(texts, ", ")
}

// statusUpdater is what an action needs of the status subresource.
type statusUpdater interface {
	rest.Updater
	rest.TableConvertor
}

// actionREST serves a transition as a subresource that is created.
type actionREST struct {
	transition transition
	status     statusUpdater
	after      func(ctx context.Context, session *v1alpha1.Session, action, reason string)
}

var (
	_ rest.Storage         = &actionREST{}
	_ rest.NamedCreater    = &actionREST{}
	_ rest.StorageMetadata = &actionREST{}
)

func newAction(transition transition, status statusUpdater, after func(context.Context, *v1alpha1.Session, string, string)) *actionREST {
	return &actionREST{transition: transition, status: status, after: after}
}

// New implements rest.Storage.
func (*actionREST) New() runtime.Object { return &v1alpha1.SessionRequest{} }

// Destroy implements rest.Storage.
func (*actionREST) Destroy() {}

// ProducesMIMETypes implements rest.StorageMetadata.
func (*actionREST) ProducesMIMETypes(string) []string { return nil }

// ProducesObject implements rest.StorageMetadata: the answer is the Session.
func (*actionREST) ProducesObject(string) interface{} { return v1alpha1.Session{} }

// ConvertToTable implements rest.TableConvertor.
func (a *actionREST) ConvertToTable(ctx context.Context, object runtime.Object, options runtime.Object) (*metav1.Table, error) {
	return a.status.ConvertToTable(ctx, object, options)
}

// Create implements rest.NamedCreater. It returns the Session with its new phase.
func (a *actionREST) Create(ctx context.Context, name string, object runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	request, ok := object.(*v1alpha1.SessionRequest)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a SessionRequest: %T", object))
	}
	if request.Name != "" && request.Name != name {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the name in the body (%s) differs from the name in the URL (%s)", request.Name, name))
	}
	if errs := validateReason(request.Reason); len(errs) > 0 {
		return nil, apierrors.NewInvalid(v1alpha1.Kind("SessionRequest"), name, errs)
	}
	if validate != nil {
		if err := validate(ctx, request.DeepCopyObject()); err != nil {
			return nil, err
		}
	}
	info := rest.DefaultUpdatedObjectInfo(nil, func(_ context.Context, _, existing runtime.Object) (runtime.Object, error) {
		session, ok := existing.(*v1alpha1.Session)
		if !ok {
			return nil, fmt.Errorf("%s of %s: storage holds a %T", a.transition.name, name, existing)
		}
		return a.transition.apply(session)
	})
	if options == nil {
		options = &metav1.CreateOptions{}
	}
	updated, _, err := a.status.Update(ctx, name, info, rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false,
		&metav1.UpdateOptions{DryRun: options.DryRun, FieldManager: options.FieldManager})
	if err != nil {
		return nil, err
	}
	session, ok := updated.(*v1alpha1.Session)
	if !ok {
		return nil, fmt.Errorf("%s of %s: storage answered with a %T", a.transition.name, name, updated)
	}
	if a.after != nil && !dryrun.IsDryRun(options.DryRun) {
		a.after(ctx, session, a.transition.name, request.Reason)
	}
	return session, nil
}

func validateReason(reason string) field.ErrorList {
	path := field.NewPath("reason")
	if len(reason) > maxReasonBytes {
		return field.ErrorList{field.TooLong(path, reason, maxReasonBytes)}
	}
	if strings.ContainsRune(reason, 0) {
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, "must not contain NUL characters")}
	}
	return nil
}
