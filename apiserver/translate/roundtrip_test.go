package translate

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

const randomRowCount = 10_000

// mutation changes one field of a session, which stands in one column.
type mutation struct {
	column string
	change func(randomRows, *v1alpha1.Session)
}

var mutations = []mutation{
	{"name", func(r randomRows, s *v1alpha1.Session) { s.Spec.DisplayName = r.word() }},
	{"prompt", func(r randomRows, s *v1alpha1.Session) { s.Spec.Prompt = r.word() }},
	{"repo_url", func(r randomRows, s *v1alpha1.Session) { s.Spec.RepositoryURL = r.word() }},
	{"assigned_user_id", func(r randomRows, s *v1alpha1.Session) { s.Spec.AssignedUserID = r.word() }},
	{"bot_account_name", func(r randomRows, s *v1alpha1.Session) { s.Spec.BotAccountName = r.word() }},
	{"parent_session_id", func(r randomRows, s *v1alpha1.Session) { s.Spec.ParentSessionID = "x" + r.word() }},
	{"timeout", func(r randomRows, s *v1alpha1.Session) { s.Spec.TimeoutSeconds = proto.Int32(r.Int32()) }},
	{"llm_temperature", func(r randomRows, s *v1alpha1.Session) {
		llm := orZero(s.Spec.LLM)
		llm.Temperature = proto.Float64(r.Float64())
		s.Spec.LLM = &llm
	}},
	{"workflow_id", func(r randomRows, s *v1alpha1.Session) {
		s.Spec.Workflow = pick(r, nil, &v1alpha1.Workflow{ID: "wf"}, &v1alpha1.Workflow{GitURL: "g", Path: r.word()})
	}},
	{"repos", func(r randomRows, s *v1alpha1.Session) {
		s.Spec.Repositories = mutateList(r, s.Spec.Repositories, func(v *v1alpha1.Repository) { v.Branch = r.word() }, v1alpha1.Repository{URL: "new", AutoPush: proto.Bool(true)})
	}},
	{"environment_variables", func(r randomRows, s *v1alpha1.Session) { mutateMap(r, &s.Spec.Environment, "A", "NEW") }},
	{"resource_overrides", func(r randomRows, s *v1alpha1.Session) {
		s.Spec.ResourceOverrides = pick(r, nil, &v1alpha1.ResourceOverrides{CPU: "3", PriorityClassName: r.word()})
	}},
	{"labels", func(r randomRows, s *v1alpha1.Session) { mutateMap(r, &s.Labels, "team", "new") }},
	{"annotations", func(r randomRows, s *v1alpha1.Session) { mutateMap(r, &s.Annotations, "note", "new") }},
	{"annotations", func(r randomRows, s *v1alpha1.Session) { s.Finalizers = append(s.Finalizers, "example.com/more") }},
	{"phase", func(r randomRows, s *v1alpha1.Session) { s.Status.Phase = v1alpha1.SessionCreating }},
	{"start_time", func(r randomRows, s *v1alpha1.Session) { s.Status.StartTime = seconds(completed) }},
	{"sdk_session_id", func(r randomRows, s *v1alpha1.Session) { s.Status.SDKSessionID = r.word() }},
	{"kube_namespace", func(r randomRows, s *v1alpha1.Session) {
		reference := orZero(s.Status.AgenticSession)
		reference.Namespace = "somewhere"
		s.Status.AgenticSession = &reference
	}},
	{"conditions", func(r randomRows, s *v1alpha1.Session) { s.Status.StoppedReason = pick(r, "", "user", "inactivity") }},
	{"conditions", func(r randomRows, s *v1alpha1.Session) {
		s.Status.Conditions = mutateList(r, s.Status.Conditions, func(c *metav1.Condition) { c.Message = r.word() }, metav1.Condition{Type: "New", Status: "True"})
	}},
	{"reconciled_repos", func(r randomRows, s *v1alpha1.Session) {
		s.Status.Repositories = mutateList(r, s.Status.Repositories, func(v *v1alpha1.ReconciledRepository) { v.Branches = append(v.Branches, "new") },
			v1alpha1.ReconciledRepository{URL: "new", ClonedAt: seconds(created)})
	}},
	{"reconciled_workflow", func(r randomRows, s *v1alpha1.Session) {
		s.Status.Workflow = pick(r, nil, &v1alpha1.ReconciledWorkflow{GitURL: "g", AppliedAt: seconds(created)})
	}},
}

func mutateList[T any](r randomRows, list []T, change func(*T), fresh T) []T {
	if len(list) == 0 || r.IntN(3) == 0 {
		return append(list, fresh)
	}
	at := r.IntN(len(list))
	if r.IntN(2) == 0 {
		return slices.Delete(list, at, at+1)
	}
	change(&list[at])
	return list
}

func mutateMap(r randomRows, m *map[string]string, known, fresh string) {
	if *m == nil {
		*m = map[string]string{}
	}
	switch r.IntN(3) {
	case 0:
		delete(*m, known)
	case 1:
		(*m)[known] = "changed"
	default:
		(*m)[fresh] = "value"
	}
}

// settled is the session without what is computed from it.
func settled(s *v1alpha1.Session) *v1alpha1.Session {
	s = s.DeepCopy()
	s.Generation = 0
	s.Status.Conditions = storedConditions(s.Status.Conditions, computedConditions)
	slices.SortFunc(s.Status.Conditions, func(a, b metav1.Condition) int { return strings.Compare(a.Type, b.Type) })
	s.Spec.LLM = orNil(orZero(s.Spec.LLM))
	return s
}

func TestTenThousandRandomSessionsLoseNothing(t *testing.T) {
	changed := map[string]int{}
	for seed := range uint64(randomRowCount) {
		r := newRandomRows(seed)
		row := r.session()
		current := read(row)

		spec, status, err := translator.SessionUpdate(row, current, throughJSON(t, current))
		if spec != nil || status != nil || err != nil {
			t.Fatalf("seed %d: nothing changed, but %v, %v, %v\nof %v", seed, spec, status, err, row)
		}

		m := mutations[r.IntN(len(mutations))]
		desired := throughJSON(t, current)
		m.change(r, desired)
		wanted := settled(desired)
		spec, status, err = translator.SessionUpdate(row, current, desired)
		if err != nil {
			t.Fatalf("seed %d: changing %s: %v", seed, m.column, err)
		}
		if equality.Semantic.DeepEqual(wanted, settled(current)) {
			if spec != nil || status != nil {
				t.Fatalf("seed %d: %s did not change, but %v, %v", seed, m.column, spec, status)
			}
			continue
		}
		changed[m.column]++
		next := apply(row, spec, status)
		checkOnlyColumn(t, seed, m.column, row, next, columns(spec), columns(status))
		if got := settled(translator.Session(next, place(row))); !equality.Semantic.DeepEqual(got, wanted) {
			same(t, m.column, got, wanted)
			t.Fatalf("seed %d: after changing %s, it reads back differently\nbefore %v\nafter %v", seed, m.column, row, next)
		}
		if t.Failed() {
			t.Fatalf("seed %d: changing %s of %v", seed, m.column, row)
		}
	}
	for _, m := range mutations {
		if changed[m.column] < 50 {
			t.Errorf("%s was changed %d times only", m.column, changed[m.column])
		}
	}
}

// checkOnlyColumn fails the test if anything but the column changed, the reserved
// annotation aside.
func checkOnlyColumn(t *testing.T, seed uint64, column string, before, after *ambientv1.Session, sent ...[]string) {
	t.Helper()
	if !slices.Contains(slices.Concat(sent...), column) {
		t.Errorf("seed %d: %s was not sent, but %v", seed, column, sent)
	}
	fields := before.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		switch name := string(field.Name()); name {
		case "annotations":
			if column != name {
				if got, want := foreignMembers(after.GetAnnotations()), foreignMembers(before.GetAnnotations()); !slices.Equal(got, want) {
					t.Errorf("seed %d: annotations changed from %q to %q", seed, want, got)
				}
			}
		case column:
			checkParts(t, seed, column, before.ProtoReflect().Get(field), after.ProtoReflect().Get(field))
		default:
			if !before.ProtoReflect().Get(field).Equal(after.ProtoReflect().Get(field)) || before.ProtoReflect().Has(field) != after.ProtoReflect().Has(field) {
				t.Errorf("seed %d: %s changed, too", seed, name)
			}
		}
	}
}

// foreignMembers are the members of an annotations column, byte by byte, without
// the reserved one; or the whole text when it is no object.
func foreignMembers(text string) []string {
	members, ok := parseObject(text)
	if !ok && !blank(text) {
		return []string{text}
	}
	var foreign []string
	for _, m := range members {
		if m.name != ReservedAnnotation {
			foreign = append(foreign, text[m.nameText.start:m.valueText.end])
		}
	}
	return foreign
}

// checkParts fails the test if more than a small part of a column of JSON
// changed: at most one element or member was mutated, which may stand there more
// than once.
func checkParts(t *testing.T, seed uint64, column string, beforeValue, afterValue protoreflect.Value) {
	t.Helper()
	switch column {
	case "labels", "environment_variables":
		before, after := beforeValue.String(), afterValue.String()
		members, _ := parseObject(before)
		for _, m := range members {
			if slices.Contains([]string{"A", "NEW", "team", "new"}, m.name) {
				continue
			}
			if part := before[m.nameText.start:m.valueText.end]; !strings.Contains(after, part) {
				t.Errorf("seed %d: %s lost %s", seed, column, part)
			}
		}
	case "repos", "reconciled_repos", "conditions":
		before, after := beforeValue.String(), afterValue.String()
		elements, _ := parseArray(before)
		lost := map[string]bool{}
		for _, e := range elements {
			if raw := e.of(before); !strings.Contains(after, raw) {
				lost[conditionTypeOf(column, raw)] = true
			}
		}
		if len(lost) > 1 {
			t.Errorf("seed %d: %s lost the bytes of %v\nbefore %s\nafter  %s", seed, column, lost, before, after)
		}
	}
}

// conditionTypeOf is the type of a condition, of which several may go at once.
func conditionTypeOf(column, raw string) string {
	var c metav1.Condition
	if _, ok := readProperties(raw, conditionProperties, &c); ok && column == conditionsColumn {
		return c.Type
	}
	return raw
}

func TestTenThousandRandomProjectsAndSettingsLoseNothing(t *testing.T) {
	for seed := range uint64(randomRowCount) {
		r := newRandomRows(seed)
		row, settings := r.project(), r.settings()
		current := readProject(row)
		if request, err := translator.ProjectUpdate(row, current, throughJSON(t, current)); request != nil || err != nil {
			t.Fatalf("seed %d: nothing changed, but %v, %v\nof %v", seed, request, err, row)
		}
		desired := throughJSON(t, current)
		desired.Spec.Description = "changed"
		request, err := translator.ProjectUpdate(row, current, desired)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		next := apply(row, request)
		if got := readProject(next); !equality.Semantic.DeepEqual(got.Spec, desired.Spec) || !equality.Semantic.DeepEqual(got.Annotations, desired.Annotations) {
			t.Fatalf("seed %d: reads back as %+v\nof %v", seed, got, next)
		}
		if !slices.Equal(foreignMembers(row.GetAnnotations()), foreignMembers(next.GetAnnotations())) || row.GetLabels() != next.GetLabels() || row.GetStatus() != next.GetStatus() {
			t.Fatalf("seed %d: more changed\nbefore %v\nafter %v", seed, row, next)
		}
		checkRandomSettings(t, seed, r, settings, row)
	}
}

func checkRandomSettings(t *testing.T, seed uint64, r randomRows, row *ambientv1.ProjectSettings, on *ambientv1.Project) {
	t.Helper()
	current := translator.ProjectSettings(row, on, 0)
	held, _ := readReserved(on.GetAnnotations(), SettingsAnnotation)
	own, onProject, err := translator.ProjectSettingsUpdate(row, on, current, throughJSON(t, current))
	if own != nil || onProject != nil && !held.Deleted || err != nil {
		t.Fatalf("seed %d: nothing changed, but %v, %v, %v\nof %v and %v", seed, own, onProject, err, row, on)
	}
	desired := throughJSON(t, current)
	desired.Spec.GroupAccess = mutateList(r, desired.Spec.GroupAccess, func(g *v1alpha1.GroupAccess) { g.Role = "changed" }, v1alpha1.GroupAccess{GroupName: "new", Role: "edit"})
	wanted := desired.DeepCopy()
	own, onProject, err = translator.ProjectSettingsUpdate(row, on, current, desired)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	got := translator.ProjectSettings(apply(row, own), apply(on, onProject), 0)
	if !equality.Semantic.DeepEqual(got.Spec, wanted.Spec) || !equality.Semantic.DeepEqual(got.Labels, wanted.Labels) {
		same(t, "spec", got.Spec, wanted.Spec)
		t.Fatalf("seed %d: reads back differently\nbefore %v\nsent %v", seed, row, own)
	}
}
