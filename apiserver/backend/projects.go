package backend

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/translate"
	"github.com/ambient-code/ambient-kube/apiserver/upstream"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// ProjectsPrefix is the storage prefix of Projects.
const ProjectsPrefix = "/projects"

// Projects is the backend of Projects.
type Projects struct {
	kind[*ambientv1.Project]
	client     ambientv1.ProjectServiceClient
	translator *translate.Translator
	// changed is told of each project row, and of nil when one is gone: the
	// settings of a project are partly kept on its row.
	changed func(id string, row *ambientv1.Project)
	// deleteSessions deletes every session of a project upstream.
	deleteSessions func(ctx context.Context, projectID string) error
	// sessions counts the sessions of a project.
	sessions func(projectID string) int
}

// Publish places the row in the API. The feed calls it.
func (p *Projects) Publish(id string, row *ambientv1.Project) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, found := p.byID[id]
	asRead := row
	if found {
		row = carry(p.keeper, id, before.row, row)
	}
	object := p.translator.Project(row, 0)
	if found && before.object != nil {
		previous := before.object.(*v1alpha1.Project)
		changed := !equality.Semantic.DeepEqual(previous.Spec, object.Spec)
		if generation := generationAfter(previous, object, changed); generation != object.Generation {
			object = p.translator.Project(row, generation)
		}
		p.inheritOwners(previous, object, p.writing[id] > 0, changed)
	}
	p.put(id, ProjectsPrefix+"/"+id, row, object)
	p.changed(id, row)
	p.inspect(id, asRead, found)
}

// Withdraw takes the row out of the API. The feed calls it.
func (p *Projects) Withdraw(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(id)
	p.keeper.forget(id)
	p.changed(id, nil)
}

// Find returns the project, which is not to be changed; nil if the upstream holds
// none. A project that is not known here is asked for, since it may be younger than
// the last event.
func (p *Projects) Find(ctx context.Context, id string) (*v1alpha1.Project, error) {
	if project := p.shown(id); project != nil {
		return project, nil
	}
	if err := p.refreshID(ctx, id, id); err != nil {
		return nil, err
	}
	return p.shown(id), nil
}

// shown returns the project as it is published.
func (p *Projects) shown(id string) *v1alpha1.Project {
	if entry, found := p.journal.Get(ProjectsPrefix + "/" + id); found {
		return entry.Value.(*v1alpha1.Project)
	}
	return nil
}

// Refresh reads the object at key from the upstream.
func (p *Projects) Refresh(ctx context.Context, key string) error {
	return p.refreshID(ctx, nameOf(key), nameOf(key))
}

// Verify makes sure of the object at key, or of all. A project's name is its id, so
// that a Get tells of each.
func (p *Projects) Verify(ctx context.Context, key string) error {
	if key != "" {
		return p.Refresh(ctx, key)
	}
	return p.verified(ctx)
}

// Create writes a new project. Its name is its id, for ever: the upstream keeps
// the names of deleted projects.
func (p *Projects) Create(ctx context.Context, _ string, object runtime.Object) error {
	if err := p.MayCreate(ctx); err != nil {
		return err
	}
	project := object.(*v1alpha1.Project)
	token := newToken()
	request, err := p.translator.ProjectCreate(project, translate.Reserved{Token: token})
	if err != nil {
		return err
	}
	unknown := false
	err = p.call(ctx, false, project.Name, func(ctx context.Context) error {
		answer, err := p.client.CreateProject(ctx, request)
		unknown = upstream.Ambiguous(err)
		if status.Code(err) == codes.AlreadyExists {
			return p.burnt(project.Name)
		}
		if err == nil {
			p.observe(ctx, roundProject(answer))
		}
		return err
	})
	if !unknown {
		return err
	}
	// The name is the id: a Get tells whether it is this creation that took place.
	if refreshErr := p.refreshID(ctx, project.Name, project.Name); refreshErr != nil {
		klog.FromContext(ctx).V(2).Info("The outcome of a creation is not known yet", "project", project.Name, "err", refreshErr)
		return unknownOutcome(err, p.resource, project)
	}
	if row, found := p.row(project.Name); found {
		if reserved, _ := translate.ReadReserved(row.GetAnnotations()); reserved.Token == token {
			return nil
		}
	}
	return err
}

// burnt explains why a name that no project bears cannot be used.
func (p *Projects) burnt(name string) error {
	err := apierrors.NewAlreadyExists(p.resource, name)
	err.ErrStatus.Message = fmt.Sprintf("projects.ambient.io %q cannot be created: the upstream keeps the names of deleted projects, and this one was used before; choose another name", name)
	return err
}

// Update writes what differs between the two states.
func (p *Projects) Update(ctx context.Context, key string, current, desired runtime.Object) error {
	id, row, found := p.lookup(key)
	if !found {
		return nil
	}
	request, err := p.translator.ProjectUpdate(row, current.(*v1alpha1.Project), desired.(*v1alpha1.Project))
	if err != nil || request == nil {
		return err
	}
	return p.duringWrite(id, func() error { return p.write(ctx, id, request) })
}

// write sends an update of the project row.
func (p *Projects) write(ctx context.Context, id string, request *ambientv1.UpdateProjectRequest) error {
	request.Id = id
	before, _ := p.asRead(id)
	return p.call(ctx, false, id, func(ctx context.Context) error {
		answer, err := p.client.UpdateProject(ctx, request)
		p.wrote(ctx, id, request, before, roundProject(answer), err)
		return err
	})
}

// resend sends the request of a lost write once more.
func (p *Projects) resend(ctx context.Context, request proto.Message) (*ambientv1.Project, error) {
	update, ok := request.(*ambientv1.UpdateProjectRequest)
	if !ok {
		return nil, fmt.Errorf("unexpected request %T", request)
	}
	row, err := p.client.UpdateProject(ctx, update)
	return roundProject(row), err
}

// MayDelete refuses to delete a project that still has sessions, unless it is annotated
// to allow that they go first.
func (p *Projects) MayDelete(project *v1alpha1.Project) error {
	sessions := p.sessions(project.Name)
	if sessions == 0 || allowsCascade(project) {
		return nil
	}
	return apierrors.NewConflict(p.resource, project.Name, fmt.Errorf(
		"the project still has %d sessions; delete them first, or allow that they are deleted with it: kubectl annotate projects.ambient.io %s %s=true",
		sessions, project.Name, v1alpha1.AllowCascadeAnnotation))
}

func allowsCascade(project *v1alpha1.Project) bool {
	return project.Annotations[v1alpha1.AllowCascadeAnnotation] == "true"
}

// Delete deletes the project upstream, after its sessions when it allows that. The
// upstream itself would leave them behind. Nobody else looks for them when the last
// finalizer goes.
func (p *Projects) Delete(ctx context.Context, key string, current runtime.Object) error {
	project := current.(*v1alpha1.Project)
	if err := p.MayDelete(project); err != nil {
		return err
	}
	id := nameOf(key)
	if allowsCascade(project) {
		if err := p.deleteSessions(ctx, id); err != nil {
			return err
		}
	}
	if p.sessions(id) > 0 {
		return apierrors.NewConflict(p.resource, id, errors.New("it got new sessions while those that it had were deleted; try again"))
	}
	return p.deleteID(ctx, id, id)
}

func (p *Projects) deleteID(ctx context.Context, id, name string) error {
	return p.call(ctx, false, name, func(ctx context.Context) error {
		return p.deleting(id, func() error {
			_, err := p.client.DeleteProject(ctx, &ambientv1.DeleteProjectRequest{Id: id})
			return err
		})
	})
}

// errInUse says that a revived project has sessions again.
var errInUse = errors.New("the project has sessions")

// deleteAgain deletes a revived project, unless sessions were put into it: the
// upstream would leave them behind.
func (p *Projects) deleteAgain(ctx context.Context, id, name string) error {
	if p.sessions(id) > 0 {
		return errInUse
	}
	return p.deleteID(ctx, id, name)
}

// Known tells whether the project is known here, without asking the upstream.
func (p *Projects) Known(id string) bool {
	_, found := p.row(id)
	return found
}
