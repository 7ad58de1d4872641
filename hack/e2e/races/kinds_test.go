package races

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/backend"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// projectPairs is how many projects are written from both sides at once.
const projectPairs = 30

// makeProjects creates projects with settings and returns their names, and the
// upstream's ids of their settings.
func makeProjects(t *testing.T, count int) (projects, settings []string) {
	t.Helper()
	projects, settings = make([]string, count), make([]string, count)
	var group errgroup.Group
	group.SetLimit(8)
	for i := range count {
		group.Go(func() error {
			projects[i] = stand.NewProject(t)
			created, err := stand.Ambient.AmbientV1alpha1().ProjectSettings(projects[i]).Create(t.Context(), &v1alpha1.ProjectSettings{
				ObjectMeta: metav1.ObjectMeta{Namespace: projects[i], Name: v1alpha1.ProjectSettingsName},
			}, metav1.CreateOptions{})
			if err == nil {
				settings[i] = created.Status.SettingsID
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return projects, settings
}

// theirs is what the other side writes.
const theirs = "theirs"

// sometime makes the other side write after as many reads as make its writes begin
// before, in the middle of, and after ours.
func sometime(t *testing.T, write func(id string) error) func(int, string) error {
	return func(i int, id string) error {
		for range i % 15 {
			if _, err := stand.Upstream.Projects.ListProjects(t.Context(), &ambientv1.ListProjectsRequest{Page: 1, Size: 1}); err != nil {
				return err
			}
		}
		return write(id)
	}
}

// repairs is how often our server has done so after a racing save.
func repairs(t *testing.T, action string) int {
	t.Helper()
	for line := range strings.Lines(stand.DoDirectly(t, stand.Administrator(t), harness.Request{Method: "GET", Path: "/metrics"}).Body) {
		if value, found := strings.CutPrefix(line, fmt.Sprintf("ambient_kube_repairs_total{action=%q} ", action)); found {
			count, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				t.Fatal(err)
			}
			return count
		}
	}
	return 0
}

// Decision 7 holds for projects and their settings, too: rows of every kind are
// saved whole.
func TestDecision7NoAcknowledgedFieldOfProjectsAndSettingsIsLost(t *testing.T) {
	projects, settings := makeProjects(t, projectPairs)
	stand.Upstream.Fault(t, windows)
	repaired := repairs(t, backend.RepairRewritten)
	inPairs(t, projects, func(_ int, project string) error {
		_, err := stand.Ambient.AmbientV1alpha1().Projects().Patch(t.Context(), project, types.MergePatchType, []byte(`{"metadata":{"labels":{"ours":"stands"}}}`), metav1.PatchOptions{})
		return err
	}, sometime(t, func(project string) error {
		_, err := stand.Upstream.Projects.UpdateProject(t.Context(), &ambientv1.UpdateProjectRequest{Id: project, Description: proto.String(theirs)})
		return err
	}))
	inPairs(t, settings, func(i int, _ string) error {
		patch := `{"spec":{"groupAccess":[{"groupName":"ours","role":"view"}]}}`
		_, err := stand.Ambient.AmbientV1alpha1().ProjectSettings(projects[i]).Patch(t.Context(), v1alpha1.ProjectSettingsName, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		return err
	}, sometime(t, func(id string) error {
		_, err := stand.Upstream.Settings.UpdateProjectSettings(t.Context(), &ambientv1.UpdateProjectSettingsRequest{Id: id, Repositories: proto.String(`[{"url":"https://example.com/theirs"}]`)})
		return err
	}))
	lost := 0
	harness.Within(t, settled, "all of our writes stand upstream", func() error {
		lost = 0
		for _, project := range projects {
			row, own := stand.Upstream.Project(t, project), stand.Upstream.SettingsOf(t, project)
			if !strings.Contains(row.GetLabels(), "stands") || !strings.Contains(own.GetGroupAccess(), "ours") {
				return fmt.Errorf("project %s has labels %q, and settings for %q", project, row.GetLabels(), own.GetGroupAccess())
			}
			if row.GetDescription() != theirs {
				lost++
			}
			if !strings.Contains(own.GetRepositories(), theirs) {
				lost++
			}
		}
		return nil
	})
	again := repairs(t, backend.RepairRewritten) - repaired
	if again == 0 {
		t.Error("none of our writes was undone and made again: the test proves nothing")
	}
	t.Logf("of %d pairs: 0 of our writes lost, %d of them made again, %d of the other side's lost", 2*projectPairs, again, lost)
}

// Decision 6 for projects: deletions race writes at the upstream, which revive rows.
func TestDecision6DeletedProjectsStayDeleted(t *testing.T) {
	projects := make([]string, 8)
	for i := range projects {
		projects[i] = stand.NewProject(t)
	}
	stand.Upstream.Fault(t, `{"updateWindow":"500ms"}`)
	before := stand.Upstream.Calls(t)["DeleteProject"]
	var mu sync.Mutex
	refused := 0
	inPairs(t, projects, func(_ int, project string) error {
		return stand.Ambient.AmbientV1alpha1().Projects().Delete(t.Context(), project, metav1.DeleteOptions{})
	}, func(_ int, project string) error {
		_, err := stand.Upstream.Projects.UpdateProject(t.Context(), &ambientv1.UpdateProjectRequest{Id: project, Status: proto.String(theirs)})
		if status.Code(err) == codes.NotFound {
			mu.Lock()
			refused++
			mu.Unlock()
			return nil
		}
		return err
	})
	if refused == len(projects) {
		t.Fatal("no write raced a deletion: the test proves nothing")
	}
	harness.Within(t, settled, "no deleted project is alive", func() error {
		for _, row := range stand.Upstream.AllProjects(t) {
			for _, project := range projects {
				if row.GetMetadata().GetId() == project {
					return fmt.Errorf("%s is alive", project)
				}
			}
		}
		return nil
	})
	if again := stand.Upstream.Calls(t)["DeleteProject"] - before - int64(len(projects)); again == 0 {
		t.Error("no project was revived and deleted again: the test proves nothing")
	}
}
