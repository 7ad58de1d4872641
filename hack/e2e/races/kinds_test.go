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

const (
	// projectPairs is how many projects are written from both sides at once.
	projectPairs = 30
	// mostRounds is how often that is tried until two writes meet.
	mostRounds = 10
)

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

// untilOneIsUndone repeats rounds of writes until our server has made a write again
// that a racing save had undone. Whether two writes meet is luck; that none ever does
// would prove nothing.
func untilOneIsUndone(t *testing.T, round func(number int)) (again int) {
	t.Helper()
	before := repairs(t, backend.RepairRewritten)
	for number := range mostRounds {
		round(number)
		if again = repairs(t, backend.RepairRewritten) - before; again > 0 {
			return again
		}
	}
	t.Errorf("in %d rounds none of our writes was undone and made again: the test proves nothing", mostRounds)
	return again
}

// Decision 7 holds for projects and their settings, too: rows of every kind are
// saved whole.
func TestDecision7NoAcknowledgedFieldOfProjectsAndSettingsIsLost(t *testing.T) {
	projects, settings := makeProjects(t, projectPairs)
	stand.Upstream.Fault(t, windows)
	written, lost := 0, 0
	again := untilOneIsUndone(t, func(number int) {
		lost += writeProjectsTogether(t, projects, settings, fmt.Sprintf("ours-%d", number), fmt.Sprintf("theirs-%d", number))
		written += 2 * projectPairs
	})
	t.Logf("of %d pairs: 0 of our writes lost, %d of them made again, %d of the other side's lost", written, again, lost)
}

// writeProjectsTogether writes projects and their settings from both sides, waits until
// all of our values stand upstream, and returns how many of the other side's do not.
func writeProjectsTogether(t *testing.T, projects, settings []string, our, their string) (lost int) {
	t.Helper()
	inPairs(t, projects, func(_ int, project string) error {
		patch := fmt.Appendf(nil, `{"metadata":{"labels":{"written":%q}}}`, our)
		_, err := stand.Ambient.AmbientV1alpha1().Projects().Patch(t.Context(), project, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	}, sometime(t, func(project string) error {
		_, err := stand.Upstream.Projects.UpdateProject(t.Context(), &ambientv1.UpdateProjectRequest{Id: project, Description: proto.String(their)})
		return err
	}))
	inPairs(t, settings, func(i int, _ string) error {
		patch := fmt.Appendf(nil, `{"spec":{"groupAccess":[{"groupName":%q,"role":"view"}]}}`, our)
		_, err := stand.Ambient.AmbientV1alpha1().ProjectSettings(projects[i]).Patch(t.Context(), v1alpha1.ProjectSettingsName, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	}, sometime(t, func(id string) error {
		repositories := fmt.Sprintf(`[{"url":"https://example.com/%s"}]`, their)
		_, err := stand.Upstream.Settings.UpdateProjectSettings(t.Context(), &ambientv1.UpdateProjectSettingsRequest{Id: id, Repositories: &repositories})
		return err
	}))
	harness.Within(t, settled, "all of our writes stand upstream", func() error {
		lost = 0
		for _, project := range projects {
			row, own := stand.Upstream.Project(t, project), stand.Upstream.SettingsOf(t, project)
			if !strings.Contains(row.GetLabels(), our) || !strings.Contains(own.GetGroupAccess(), our) {
				return fmt.Errorf("project %s has labels %q, and settings for %q", project, row.GetLabels(), own.GetGroupAccess())
			}
			if row.GetDescription() != their {
				lost++
			}
			if !strings.Contains(own.GetRepositories(), their) {
				lost++
			}
		}
		return nil
	})
	return lost
}

// Decision 6 for projects: deletions race writes at the upstream, which revive rows.
func TestDecision6DeletedProjectsStayDeleted(t *testing.T) {
	projects := make([]string, 8)
	for i := range projects {
		projects[i] = stand.NewProject(t)
	}
	stand.Upstream.Fault(t, `{"updateWindow":"2s"}`)
	before := stand.Upstream.Calls(t)["DeleteProject"]
	var mu sync.Mutex
	refused := 0
	inPairs(t, projects, func(_ int, project string) error {
		return stand.Ambient.AmbientV1alpha1().Projects().Delete(t.Context(), project, metav1.DeleteOptions{})
	}, func(_ int, project string) error {
		_, err := stand.Upstream.Projects.UpdateProject(t.Context(), &ambientv1.UpdateProjectRequest{Id: project, Status: proto.String("theirs")})
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
