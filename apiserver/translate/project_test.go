package translate

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

func readProject(row *ambientv1.Project) *v1alpha1.Project { return translator.Project(row, 0) }

// updateProject changes a project and returns its row afterwards.
func updateProject(t *testing.T, row *ambientv1.Project, change func(*v1alpha1.Project), want ...string) *ambientv1.Project {
	t.Helper()
	current := readProject(row)
	desired := throughJSON(t, current)
	change(desired)
	request, err := translator.ProjectUpdate(row, current, desired)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(columns(request), " "); got != strings.Join(want, " ") {
		t.Errorf("sent %q, want %q", got, want)
	}
	return apply(row, request)
}

func TestProjectColumnsHaveTheirFields(t *testing.T) {
	row := project(`{"note":"x"}`)
	row.Name, row.DisplayName, row.Description = "renamed", proto.String("Team A"), proto.String("What for")
	row.Labels, row.Status = proto.String(`{"a":"1","ambient.io/session-id":"x"}`), proto.String("some text")
	got := readProject(row)
	same(t, "object", got, &v1alpha1.Project{
		ObjectMeta: metav1.ObjectMeta{
			Name: "team-a", UID: UID("Project", "team-a", ""), Generation: 1, CreationTimestamp: *seconds(created),
			Labels: map[string]string{"a": "1", "ambient.io/session-id": "x"}, Annotations: map[string]string{"note": "x"},
		},
		Spec:   v1alpha1.ProjectSpec{DisplayName: "Team A", Description: "What for"},
		Status: v1alpha1.ProjectStatus{Phase: "some text", UpstreamName: "renamed", Conditions: got.Status.Conditions},
	})
	if got := translator.Project(nil, 7); got.Generation != 7 {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestProjectProblemsAreNamed(t *testing.T) {
	row := project("not json")
	row.Labels = proto.String("[]")
	c := condition(readProject(row).Status.Conditions, "Translated")
	if c.Status != "False" || c.Message != "Upstream data that cannot be shown is left out: labels is not a JSON object; annotations is not a JSON object" {
		t.Errorf("got %+v", c)
	}
}

func TestProjectCreateReadsBack(t *testing.T) {
	desired := &v1alpha1.Project{
		ObjectMeta: metav1.ObjectMeta{Name: "team-a", Labels: map[string]string{"a": "1"}, Annotations: map[string]string{"note": "x"}, Finalizers: []string{"example.com/hold"}},
		Spec:       v1alpha1.ProjectSpec{DisplayName: "Team A", Description: "What for"},
	}
	request, err := translator.ProjectCreate(desired, Reserved{Token: "once"})
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := ReadReserved(request.GetAnnotations()); r.Token != "once" || r.DisplayName != "Team A" {
		t.Errorf("reserved: %+v", r)
	}
	for name, stores := range map[string]bool{"with its own display name": true, "without one": false} {
		row := apply(project(""), request)
		if !stores {
			row.DisplayName = nil
		}
		got := readProject(row)
		same(t, name+": spec", got.Spec, desired.Spec)
		same(t, name+": finalizers", got.Finalizers, desired.Finalizers)
		same(t, name+": labels", got.Labels, desired.Labels)
		same(t, name+": annotations", got.Annotations, desired.Annotations)
		if got.Generation != 1 {
			t.Errorf("%s: generation %d", name, got.Generation)
		}
	}
}

func TestProjectUpdateSendsOnlyWhatChanged(t *testing.T) {
	row := project(`{"odd": 1, "note":"x"}`)
	row.Labels = proto.String(`{"a":"1"}`)
	updateProject(t, row, func(*v1alpha1.Project) {})
	row = updateProject(t, row, func(p *v1alpha1.Project) { p.Spec.Description = "d" }, "description", "annotations")
	row = updateProject(t, row, func(p *v1alpha1.Project) { p.Labels["b"] = "2" }, "labels")
	row = updateProject(t, row, func(p *v1alpha1.Project) { p.Status.Phase = "text" }, "status")
	row = updateProject(t, row, func(p *v1alpha1.Project) { p.Status.UpstreamName = "forged" })
	row = updateProject(t, row, func(p *v1alpha1.Project) { p.Status.Namespace = "team-a" }, "annotations")
	conditions := []metav1.Condition{{Type: "Ready", Status: "True", Reason: "R", LastTransitionTime: *seconds(created), ObservedGeneration: 2}}
	row = updateProject(t, row, func(p *v1alpha1.Project) {
		p.Status.ObservedGeneration = 2
		p.Status.Conditions = append(conditions, metav1.Condition{Type: "Translated", Status: "True"})
	}, "annotations")
	got := readProject(row)
	same(t, "labels", got.Labels, map[string]string{"a": "1", "b": "2"})
	c := condition(got.Status.Conditions, "Translated")
	got.Status.Conditions = storedConditions(got.Status.Conditions, computedProjectConditions)
	same(t, "status", got.Status, v1alpha1.ProjectStatus{ObservedGeneration: 2, Phase: "text", UpstreamName: "team-a", Namespace: "team-a", Conditions: conditions})
	if c.Status != "False" || got.Generation != 2 {
		t.Errorf("Translated %v, generation %d", c, got.Generation)
	}
	if !strings.HasPrefix(row.GetAnnotations(), `{"odd": 1, "note":"x", "ambient.io/kubernetes":`) {
		t.Errorf("annotations: %s", row.GetAnnotations())
	}
}

func TestTheUpstreamsOwnDisplayNameWins(t *testing.T) {
	row := project("")
	row = updateProject(t, row, func(p *v1alpha1.Project) { p.Spec.DisplayName = "one" }, "display_name", "annotations")
	row.DisplayName = nil
	if got := readProject(row); got.Spec.DisplayName != "one" || got.Generation != 2 {
		t.Errorf("where the upstream stores none: %q, generation %d", got.Spec.DisplayName, got.Generation)
	}
	row.DisplayName = proto.String("theirs")
	if got := readProject(row).Spec.DisplayName; got != "theirs" {
		t.Errorf("where the upstream has one: %q", got)
	}
	row = updateProject(t, row, func(p *v1alpha1.Project) { p.Spec.DisplayName = "" }, "display_name", "annotations")
	row.DisplayName = nil
	if got := readProject(row).Spec.DisplayName; got != "" {
		t.Errorf("after it was cleared: %q", got)
	}
}

func TestDecision11SettingsDoNotTouchTheirProject(t *testing.T) {
	row := project(`{"note":"x"}`)
	before := readProject(row)
	_, onProject := updateSettings(t, settingsRow("", ""), row, func(s *v1alpha1.ProjectSettings) {
		s.Labels = map[string]string{"a": "b"}
		s.Status.ObservedGeneration = 3
	})
	row = apply(row, onProject)
	if after := readProject(row); !Equal(before, after) {
		t.Errorf("the project changed: %+v", after)
	}
}

func TestEqualIgnoresOnlyTheResourceVersion(t *testing.T) {
	one, two := read(session()), read(session())
	two.ResourceVersion = "8"
	if !Equal(one, two) {
		t.Error("sessions differ by their resource version")
	}
	two.Spec.Prompt = "x"
	if Equal(one, two) || one.ResourceVersion != "" {
		t.Error("sessions do not differ by their prompt")
	}
	if Equal(one, readProject(project(""))) || Equal(one, nil) || !Equal(nil, nil) {
		t.Error("kinds are not told apart")
	}
	a, b := readProject(project("")), readProject(project(""))
	b.ResourceVersion = "8"
	if !Equal(a, b) {
		t.Error("projects differ by their resource version")
	}
	x, y := translator.ProjectSettings(settingsRow("", ""), nil, 0), translator.ProjectSettings(settingsRow("[]", ""), nil, 0)
	y.ResourceVersion = "8"
	if !Equal(x, y) {
		t.Error("settings differ by their resource version")
	}
	y.Spec.GroupAccess = []v1alpha1.GroupAccess{{}}
	if Equal(x, y) {
		t.Error("settings do not differ by their spec")
	}
}
