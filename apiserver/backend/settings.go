package backend

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/translate"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// SettingsPrefix is the storage prefix of ProjectSettings.
const SettingsPrefix = "/projectsettings"

// Settings is the backend of ProjectSettings. What the upstream has no column
// for rides on the row of the project, so that two rows make one object.
type Settings struct {
	kind[*ambientv1.ProjectSettings]
	client     ambientv1.ProjectSettingsServiceClient
	projects   *Projects
	translator *translate.Translator
	// projectRows holds the project rows as they were last published, and
	// settingsOf the settings' ids by project. Both under the index's lock.
	projectRows map[string]*ambientv1.Project
	settingsOf  map[string]string
}

// Publish places the row in the API. The feed calls it.
func (s *Settings) Publish(id string, row *ambientv1.ProjectSettings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, found := s.byID[id]; found && before.row.GetProjectId() != row.GetProjectId() {
		s.vacate(id, before)
		delete(s.settingsOf, before.row.GetProjectId())
	}
	s.settingsOf[row.GetProjectId()] = id
	_, known := s.byID[id]
	s.place(id, row)
	s.inspect(id, row, known)
}

// Withdraw takes the row out of the API. The feed calls it.
func (s *Settings) Withdraw(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, found := s.byID[id]; found && s.settingsOf[before.row.GetProjectId()] == id {
		delete(s.settingsOf, before.row.GetProjectId())
	}
	s.remove(id)
}

// projectChanged learns of a project row; nil when it is gone.
func (s *Settings) projectChanged(projectID string, row *ambientv1.Project) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if row == nil {
		delete(s.projectRows, projectID)
	} else {
		s.projectRows[projectID] = row
	}
	if id, found := s.settingsOf[projectID]; found {
		s.place(id, s.byID[id].row)
	}
}

// place publishes the settings, or takes them out while they are emptied.
func (s *Settings) place(id string, row *ambientv1.ProjectSettings) {
	project := s.projectRows[row.GetProjectId()]
	if translate.SettingsDeleted(row, project) {
		if before, found := s.byID[id]; found {
			s.vacate(id, before)
			before.row = row
		} else {
			s.byID[id] = &placed[*ambientv1.ProjectSettings]{row: row}
		}
		return
	}
	object := s.translator.ProjectSettings(row, project, 0)
	if before, found := s.byID[id]; found && before.object != nil {
		previous := before.object.(*v1alpha1.ProjectSettings)
		changed := !equality.Semantic.DeepEqual(previous.Spec, object.Spec)
		if generation := generationAfter(previous, object, changed); generation != object.Generation {
			object = s.translator.ProjectSettings(row, project, generation)
		}
		s.inheritOwners(previous, object, s.writing[id] > 0, changed)
	}
	s.put(id, SettingsPrefix+"/"+object.Namespace+"/"+object.Name, row, object)
}

// Synced returns nil while this process leads and knows both rows of every object.
func (s *Settings) Synced() error {
	if err := s.projects.Synced(); err != nil {
		return err
	}
	return s.kind.Synced()
}

// FirstSynced returns nil once both rows of every object are known.
func (s *Settings) FirstSynced() error {
	if err := s.projects.FirstSynced(); err != nil {
		return err
	}
	return s.kind.FirstSynced()
}

// Refresh reads the object at key from the upstream: both rows that make it.
func (s *Settings) Refresh(ctx context.Context, key string) error {
	id, row, found := s.lookup(key)
	if !found {
		return nil
	}
	if err := s.refreshID(ctx, id, nameOf(key)); err != nil {
		return err
	}
	return s.projects.refreshID(ctx, row.GetProjectId(), row.GetProjectId())
}

// Verify makes sure of the object at key, or of all: of both rows that make it.
func (s *Settings) Verify(ctx context.Context, key string) error {
	if err := s.verifiedOne(ctx, key, s.Refresh); err != nil || key != "" {
		return err
	}
	return s.projects.verified(ctx)
}

// rows returns the two rows behind the settings of a project, and the id of the
// settings' own row; all of them may be absent.
func (s *Settings) rows(projectID string) (id string, row *ambientv1.ProjectSettings, project *ambientv1.Project) {
	s.mu.Lock()
	defer s.mu.Unlock()
	project = s.projectRows[projectID]
	if id = s.settingsOf[projectID]; id != "" {
		row = s.byID[id].row
	}
	return id, row, project
}

// Create writes the settings of a project. A row that an earlier deletion only
// emptied is filled again, since the upstream allows no second one.
func (s *Settings) Create(ctx context.Context, key string, object runtime.Object) error {
	if err := s.MayCreate(ctx); err != nil {
		return err
	}
	settings := object.(*v1alpha1.ProjectSettings)
	projectID := settings.Namespace
	id, row, project := s.rows(projectID)
	if id != "" {
		current := s.translator.ProjectSettings(row, project, 0)
		return s.write(ctx, id, row, current, settings)
	}
	taken, err := s.create(ctx, projectID, settings)
	if taken {
		// Other writes need not wait for the listing that tells why.
		return s.taken(ctx, projectID)
	}
	return err
}

// create writes the rows of new settings. It tells whether it failed because the
// upstream has settings of the project already.
func (s *Settings) create(ctx context.Context, projectID string, settings *v1alpha1.ProjectSettings) (taken bool, err error) {
	unlock, project, err := s.lockProject(ctx, projectID)
	if err != nil {
		return false, err
	}
	defer unlock()
	create, update, err := s.translator.ProjectSettingsCreate(settings, project)
	if err != nil {
		return false, err
	}
	if update != nil {
		if err := s.projects.write(ctx, projectID, update); err != nil {
			return false, err
		}
	}
	err = s.call(ctx, false, settings.Name, func(ctx context.Context) error {
		answer, err := s.client.CreateProjectSettings(ctx, create)
		taken = status.Code(err) == codes.AlreadyExists
		if err == nil {
			s.observe(ctx, roundSettings(answer))
		}
		return err
	})
	return taken, err
}

// taken explains why the upstream has settings of the project already: because they
// exist, made by somebody else or by a creation whose answer was lost, or because
// they were deleted.
func (s *Settings) taken(ctx context.Context, projectID string) error {
	ctx, cancel := context.WithTimeout(ctx, outcomePatience)
	defer cancel()
	if err := s.feed.AwaitListing(ctx, time.Now()); err != nil {
		return unavailable("whether the settings of project %q exist or were deleted is not known yet", projectID)
	}
	if id, _, _ := s.rows(projectID); id != "" {
		return apierrors.NewAlreadyExists(s.resource, v1alpha1.ProjectSettingsName)
	}
	return s.burnt(projectID)
}

func (s *Settings) burnt(projectID string) error {
	err := apierrors.NewAlreadyExists(s.resource, v1alpha1.ProjectSettingsName)
	err.ErrStatus.Message = fmt.Sprintf("projectsettings.ambient.io of project %q cannot be created: they were deleted upstream, which allows no second ones", projectID)
	return err
}

// Update writes what differs between the two states, to whichever row holds it.
func (s *Settings) Update(ctx context.Context, key string, current, desired runtime.Object) error {
	id, row, found := s.lookup(key)
	if !found {
		return nil
	}
	return s.write(ctx, id, row, current.(*v1alpha1.ProjectSettings), desired.(*v1alpha1.ProjectSettings))
}

// lockProject keeps other writers off the project's row, which holds a part of
// the settings, and returns the row as it is now; nil when it is gone.
func (s *Settings) lockProject(ctx context.Context, projectID string) (unlock func(), project *ambientv1.Project, err error) {
	unlock, err = s.projects.Lock(ctx, ProjectsPrefix+"/"+projectID)
	if err != nil {
		return nil, nil, err
	}
	if err := s.projects.refreshID(ctx, projectID, projectID); err != nil {
		unlock()
		return nil, nil, err
	}
	_, _, project = s.rows(projectID)
	return unlock, project, nil
}

// write sends what differs, to the settings' own row and to the project's.
func (s *Settings) write(ctx context.Context, id string, row *ambientv1.ProjectSettings, current, desired *v1alpha1.ProjectSettings) error {
	unlock, project, err := s.lockProject(ctx, row.GetProjectId())
	if err != nil {
		return err
	}
	defer unlock()
	if project == nil {
		return apierrors.NewForbidden(s.resource, desired.Name, fmt.Errorf("the project %q is gone: its settings can only be read", row.GetProjectId()))
	}
	own, onProject, err := s.translator.ProjectSettingsUpdate(row, project, current, desired)
	if err != nil {
		return err
	}
	return s.duringWrite(id, func() error { return s.send(ctx, id, row.GetProjectId(), own, onProject) })
}

// send writes the settings' own row and the project's; either may be absent.
func (s *Settings) send(ctx context.Context, id, projectID string, own *ambientv1.UpdateProjectSettingsRequest, onProject *ambientv1.UpdateProjectRequest) error {
	if own != nil {
		own.Id = id
		before, _ := s.row(id)
		err := s.call(ctx, false, v1alpha1.ProjectSettingsName, func(ctx context.Context) error {
			answer, err := s.client.UpdateProjectSettings(ctx, own)
			s.wrote(ctx, id, own, before, roundSettings(answer), err)
			return err
		})
		if err != nil {
			return err
		}
	}
	if onProject == nil {
		return nil
	}
	return s.projects.write(ctx, projectID, onProject)
}

// Delete empties the settings; only settings annotated to allow it are deleted
// upstream, where they could never be made again.
func (s *Settings) Delete(ctx context.Context, key string, current runtime.Object) error {
	id, row, found := s.lookup(key)
	if !found {
		return nil
	}
	settings := current.(*v1alpha1.ProjectSettings)
	unlock, project, err := s.lockProject(ctx, row.GetProjectId())
	if err != nil {
		return err
	}
	defer unlock()
	if project == nil || settings.Annotations[v1alpha1.AllowBurnAnnotation] == "true" {
		return s.deleteID(ctx, id, settings.Name)
	}
	own, onProject, err := s.translator.ProjectSettingsEmpty(row, project)
	if err != nil {
		return err
	}
	return s.send(ctx, id, row.GetProjectId(), own, onProject)
}

func (s *Settings) deleteID(ctx context.Context, id, name string) error {
	return s.call(ctx, false, name, func(ctx context.Context) error {
		return s.deleting(id, func() error {
			_, err := s.client.DeleteProjectSettings(ctx, &ambientv1.DeleteProjectSettingsRequest{Id: id})
			return err
		})
	})
}

// resend sends the request of a lost write once more.
func (s *Settings) resend(ctx context.Context, request proto.Message) (*ambientv1.ProjectSettings, error) {
	update, ok := request.(*ambientv1.UpdateProjectSettingsRequest)
	if !ok {
		return nil, fmt.Errorf("unexpected request %T", request)
	}
	row, err := s.client.UpdateProjectSettings(ctx, update)
	return roundSettings(row), err
}
