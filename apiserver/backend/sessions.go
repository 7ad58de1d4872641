package backend

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/translate"
	"github.com/ambient-code/ambient-kube/apiserver/upstream"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// SessionsPrefix is the storage prefix of Sessions.
const SessionsPrefix = "/sessions"

// Sessions is the backend of Sessions.
type Sessions struct {
	kind[*ambientv1.Session]
	client     ambientv1.SessionServiceClient
	translator *translate.Translator
	claims     claims
	pending    *pendingCreates
	messages   *messages
	// foreign tells whether a namespace exists that is neither ours nor adopted;
	// sessions that would live there live in fallback.
	foreign  func(namespace string) bool
	fallback string
}

// Publish places the row in the API. The feed calls it.
func (s *Sessions) Publish(id string, row *ambientv1.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, found := s.byID[id]
	asRead := row
	if found {
		row = carry(s.keeper, id, before.row, row)
	}
	s.publish(id, row)
	s.inspect(id, asRead, found)
}

// publish claims the row's name and places it and whomever the claim concerns.
func (s *Sessions) publish(id string, row *ambientv1.Session) {
	wanted := s.wanted(row)
	if held, found := s.claims.byID[id]; found && held != wanted {
		// Leave the old place before another row may take it: nobody must see one
		// object turn into another.
		s.vacate(id, s.byID[id])
	}
	claimant := claimant{id: id, createdAt: row.GetMetadata().GetCreatedAt().AsTime()}
	for _, changed := range s.claims.claim(wanted, claimant) {
		if changed != id {
			s.place(changed, s.byID[changed].row)
		}
	}
	s.place(id, row)
}

// Withdraw takes the row out of the API. The feed calls it.
func (s *Sessions) Withdraw(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(id)
	s.keeper.forget(id)
	for _, changed := range s.claims.release(id) {
		s.place(changed, s.byID[changed].row)
	}
}

// wanted is the place that a row asks for. Sessions whose namespace belongs to
// somebody else are kept out of it: its users are not to read them.
func (s *Sessions) wanted(row *ambientv1.Session) types.NamespacedName {
	namespace := s.translator.SessionNamespace(row)
	if s.foreignNamespace(row) != "" {
		namespace = s.fallback
	}
	return types.NamespacedName{Namespace: namespace, Name: s.translator.SessionName(row)}
}

// foreignNamespace returns the name of the namespace that the row would live in
// if it did not belong to somebody else; empty when nothing is in the way.
func (s *Sessions) foreignNamespace(row *ambientv1.Session) string {
	namespace := s.translator.SessionNamespace(row)
	if namespace == s.fallback || s.foreign == nil || !s.foreign(namespace) {
		return ""
	}
	return namespace
}

// NamespaceChanged places the sessions of a project anew after its namespace
// appeared, went, or changed hands.
func (s *Sessions) NamespaceChanged(projectID string) {
	s.mu.Lock()
	rows := map[string]*ambientv1.Session{}
	for id, p := range s.byID {
		if p.row.GetProjectId() == projectID {
			rows[id] = p.row
		}
	}
	s.mu.Unlock()
	for id, row := range rows {
		s.replace(id, row)
	}
}

// replace publishes the row again, unless it was replaced or withdrawn meanwhile.
func (s *Sessions) replace(id string, row *ambientv1.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, found := s.byID[id]; found && p.row == row {
		s.publish(id, row)
	}
}

// place publishes the row under the name that it asked for, or under one of its
// own while an older row holds that name.
func (s *Sessions) place(id string, row *ambientv1.Session) {
	wanted := s.claims.byID[id]
	placement := translate.Placement{Namespace: wanted.Namespace, Name: wanted.Name}
	placement.NameConflict = s.claims.contested(wanted)
	if !s.claims.holds(wanted, id) {
		placement.Name = translate.CollisionName(wanted.Name, id)
	}
	if wanted.Namespace == s.fallback && row.GetProjectId() != s.fallback {
		placement.ForeignNamespace = s.foreignNamespace(row)
	}
	object := s.translator.Session(row, placement)
	if before, found := s.byID[id]; found && before.object != nil {
		previous := before.object.(*v1alpha1.Session)
		changed := !equality.Semantic.DeepEqual(previous.Spec, object.Spec)
		if generation := generationAfter(previous, object, changed); generation != object.Generation {
			placement.Generation = generation
			object = s.translator.Session(row, placement)
		}
		s.inheritOwners(previous, object, s.writing[id] > 0, changed)
	}
	s.put(id, SessionsPrefix+"/"+placement.Namespace+"/"+placement.Name, row, object)
}

// Refresh reads the object at key from the upstream.
func (s *Sessions) Refresh(ctx context.Context, key string) error {
	id, _, found := s.lookup(key)
	if !found {
		return nil
	}
	return s.refreshID(ctx, id, nameOf(key))
}

// Verify makes sure of the object at key, or of all.
func (s *Sessions) Verify(ctx context.Context, key string) error {
	return s.verifiedOne(ctx, key, s.Refresh)
}

// Create writes a new session. The upstream chooses its id, so that the name and
// a one-time token ride along: after an answer that got lost, they tell whether
// the session was made.
func (s *Sessions) Create(ctx context.Context, key string, object runtime.Object) error {
	session := object.(*v1alpha1.Session)
	if err := s.MayCreate(ctx); err != nil {
		return err
	}
	if !s.pending.settle(key, s.feed.CompleteSince()) {
		s.feed.Relist()
		return unavailable("the outcome of an earlier creation of %s %q is not known yet", s.resource.Resource, session.Name)
	}
	if _, _, found := s.lookup(key); found {
		return storage.NewKeyExistsError(key, 0)
	}
	token := newToken()
	request, err := s.translator.SessionCreate(session, translate.Reserved{Name: session.Name, Token: token, CreatedBy: session.Spec.CreatedBy})
	if err != nil {
		return err
	}
	var row *ambientv1.Session
	var unknownSince time.Time
	err = s.call(ctx, false, session.Name, func(ctx context.Context) error {
		answer, err := s.client.CreateSession(ctx, request)
		if mayLackParent(err, session) && s.lacksParent(ctx, session) {
			return s.missingParent(err, session)
		}
		if upstream.Ambiguous(err) {
			unknownSince = s.pending.add(key)
		}
		row = roundSession(answer)
		return err
	})
	switch {
	case err == nil:
		// Before anybody knows of the session, who could write messages, too.
		s.storePrompt(ctx, row.GetMetadata().GetId(), session.Spec.Prompt)
		s.observe(ctx, row)
		return nil
	case unknownSince.IsZero():
		return err
	}
	switch made, known := s.outcome(ctx, key, token, unknownSince); {
	case made:
		if id, _, found := s.lookup(key); found {
			s.storePrompt(ctx, id, session.Spec.Prompt)
		}
		return nil
	case known:
		return err
	default:
		return unknownOutcome(err, s.resource, session)
	}
}

// outcome waits, as long as there is time, for the listing that tells whether the
// creation with the token took place. The name stays reserved until it has told.
func (s *Sessions) outcome(ctx context.Context, key, token string, since time.Time) (made, known bool) {
	ctx, cancel := context.WithTimeout(ctx, outcomePatience)
	defer cancel()
	if err := s.feed.AwaitListing(ctx, since); err != nil {
		klog.FromContext(ctx).V(2).Info("The outcome of a creation is not known yet", "key", key, "err", err)
		return false, false
	}
	s.pending.settle(key, s.feed.CompleteSince())
	if _, row, found := s.lookup(key); found {
		reserved, _ := translate.ReadReserved(row.GetAnnotations())
		return reserved.Token == token, true
	}
	return false, true
}

// Update writes what differs between the two states: spec and metadata by one
// call, status by another.
func (s *Sessions) Update(ctx context.Context, key string, current, desired runtime.Object) error {
	id, row, found := s.lookup(key)
	if !found {
		return nil
	}
	session := desired.(*v1alpha1.Session)
	spec, report, err := s.translator.SessionUpdate(row, current.(*v1alpha1.Session), session)
	if err != nil {
		return err
	}
	if spec != nil {
		spec.Id = id
		before, _ := s.asRead(id)
		err := s.duringWrite(id, func() error {
			return s.call(ctx, false, session.Name, func(ctx context.Context) error {
				answer, err := s.client.UpdateSession(ctx, spec)
				s.wrote(ctx, id, spec, before, roundSession(answer), err)
				return s.missingParent(err, session)
			})
		})
		if err != nil {
			return err
		}
	}
	if report == nil {
		return nil
	}
	report.Id = id
	before, _ := s.asRead(id)
	return s.call(ctx, true, session.Name, func(ctx context.Context) error {
		answer, err := s.client.UpdateSessionStatus(ctx, report)
		s.wrote(ctx, id, report, before, roundSession(answer), err)
		return err
	})
}

// Delete deletes the session upstream.
func (s *Sessions) Delete(ctx context.Context, key string, _ runtime.Object) error {
	id, _, found := s.lookup(key)
	if !found {
		return nil
	}
	return s.deleteID(ctx, id, nameOf(key))
}

func (s *Sessions) deleteID(ctx context.Context, id, name string) error {
	return s.call(ctx, false, name, func(ctx context.Context) error {
		return s.deleting(id, func() error {
			_, err := s.client.DeleteSession(ctx, &ambientv1.DeleteSessionRequest{Id: id})
			return err
		})
	})
}

// resend sends the request of a lost write once more.
func (s *Sessions) resend(ctx context.Context, request proto.Message) (*ambientv1.Session, error) {
	var row *ambientv1.Session
	var err error
	switch request := request.(type) {
	case *ambientv1.UpdateSessionRequest:
		row, err = s.client.UpdateSession(ctx, request)
	case *ambientv1.UpdateSessionStatusRequest:
		row, err = s.client.UpdateSessionStatus(ctx, request)
	default:
		return nil, fmt.Errorf("unexpected request %T", request)
	}
	return roundSession(row), err
}

// deleteInProject deletes every session of the project upstream; none if one of
// them has finalizers, which somebody has to take off first.
func (s *Sessions) deleteInProject(ctx context.Context, projectID string) error {
	if held, finalizers := s.heldInProject(projectID); len(finalizers) > 0 {
		return apierrors.NewConflict(v1alpha1.Resource("projects"), projectID, fmt.Errorf(
			"its session %s has the finalizers %q; delete that session first", held, finalizers))
	}
	for _, name := range s.InProject(projectID) {
		key := SessionsPrefix + "/" + name.Namespace + "/" + name.Name
		unlock, err := s.Lock(ctx, key)
		if err != nil {
			return err
		}
		err = s.Delete(ctx, key, nil)
		unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// heldInProject returns a session of the project that has finalizers.
func (s *Sessions) heldInProject(projectID string) (name types.NamespacedName, finalizers []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.byID {
		if p.row.GetProjectId() == projectID && p.object != nil {
			if session := p.object.(*v1alpha1.Session); len(session.Finalizers) > 0 {
				return types.NamespacedName{Namespace: session.Namespace, Name: session.Name}, session.Finalizers
			}
		}
	}
	return types.NamespacedName{}, nil
}

// InProject returns the names of the project's sessions, in the form
// namespace/name, without order.
func (s *Sessions) InProject(projectID string) []types.NamespacedName {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []types.NamespacedName
	for _, p := range s.byID {
		if p.row.GetProjectId() == projectID && p.object != nil {
			session := p.object.(*v1alpha1.Session)
			names = append(names, types.NamespacedName{Namespace: session.Namespace, Name: session.Name})
		}
	}
	return names
}

// nameOf is the last element of a storage key.
func nameOf(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }

// lacksParent tells whether the upstream certainly has no such parent session.
func (s *Sessions) lacksParent(ctx context.Context, session *v1alpha1.Session) bool {
	_, err := s.client.GetSession(ctx, &ambientv1.GetSessionRequest{Id: session.Spec.ParentSessionID})
	return status.Code(err) == codes.NotFound
}

// mayLackParent tells whether a write may have failed because its parent session
// does not exist, which the upstream only calls an internal error.
func mayLackParent(err error, session *v1alpha1.Session) bool {
	return session.Spec.ParentSessionID != "" && status.Code(err) == codes.Internal
}

// missingParent explains what the upstream only calls an internal error: the
// parent session does not exist.
func (s *Sessions) missingParent(err error, session *v1alpha1.Session) error {
	if !mayLackParent(err, session) {
		return err
	}
	return upstream.InvalidReference(err, s.resource, session.Name, field.NotFound(field.NewPath("spec", "parentSessionID"), session.Spec.ParentSessionID))
}
