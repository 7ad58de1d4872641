package session

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient"
	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

func TestTheTableShowsASessionAtAGlance(t *testing.T) {
	now := time.Now()
	full := existing("fix-login", v1alpha1.SessionRunning)
	full.CreationTimestamp = metav1.NewTime(now.Add(-90 * time.Minute))
	full.Spec.DisplayName = "Fix the login"
	full.Spec.Repositories = []v1alpha1.Repository{{URL: "https://a"}, {URL: "https://b"}, {URL: "https://c"}}
	full.Status.AgenticSession = &v1alpha1.AgenticSessionReference{Name: "2abc"}
	list := &v1alpha1.SessionList{
		ListMeta: metav1.ListMeta{ResourceVersion: "7", Continue: "more", RemainingItemCount: pointer[int64](5)},
		Items:    []v1alpha1.Session{*full, {ObjectMeta: metav1.ObjectMeta{Name: "bare"}}},
	}
	table, err := newTable(func() time.Time { return now }).ConvertToTable(context.Background(), list, &metav1.TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var columns []string
	for _, column := range table.ColumnDefinitions {
		columns = append(columns, fmt.Sprintf("%s/%d", column.Name, column.Priority))
	}
	if want := []string{"Name/0", "Phase/0", "Model/0", "Project/0", "Age/0", "Display Name/1", "Repo/1", "CR/1", "ID/1"}; !slices.Equal(columns, want) {
		t.Errorf("columns are %q", columns)
	}
	if got, want := fmt.Sprint(table.Rows[0].Cells...), fmt.Sprint("fix-login", "Running", "m", "team-a", "90m", "Fix the login", "https://a + 2 more", "2abc", "2Abc"); got != want {
		t.Errorf("the row is %q, want %q", got, want)
	}
	if got, want := fmt.Sprint(table.Rows[1].Cells...), fmt.Sprint("bare", "<none>", "<none>", "<none>", "<unknown>", "<none>", "<none>", "<none>", "<none>"); got != want {
		t.Errorf("the row is %q, want %q", got, want)
	}
	if table.ResourceVersion != "7" || table.Continue != "more" || *table.RemainingItemCount != 5 {
		t.Errorf("list metadata is %+v", table.ListMeta)
	}
	if table.Rows[0].Object.Object.(*v1alpha1.Session).Name != "fix-login" {
		t.Error("the row lacks its object")
	}
}

func TestTheTableOfAWatchedSessionRepeatsNoHeaders(t *testing.T) {
	session := existing("a", "")
	session.ResourceVersion = "9"
	table, err := newTable(time.Now).ConvertToTable(context.Background(), session, &metav1.TableOptions{NoHeaders: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(table.ColumnDefinitions) != 0 || len(table.Rows) != 1 || table.ResourceVersion != "9" {
		t.Errorf("the table is %+v", table)
	}
	if _, err := newTable(time.Now).ConvertToTable(context.Background(), &metav1.Status{}, nil); err == nil {
		t.Error("a Status has a table")
	}
}

func TestOnlyKnownFieldsCanBeSelectedBy(t *testing.T) {
	scheme := newScheme(t)
	for _, kind := range []struct{ version string }{{v1alpha1.SchemeGroupVersion.Version}, {ambient.InternalGroupVersion.Version}} {
		gvk := v1alpha1.SchemeGroupVersion.WithKind("Session")
		gvk.Version = kind.version
		for _, label := range []string{"metadata.name", "metadata.namespace", "status.phase", "spec.displayName"} {
			if got, value, err := scheme.ConvertFieldLabel(gvk, label, "x"); got != label || value != "x" || err != nil {
				t.Errorf("%s %s: %s=%s, %v", gvk, label, got, value, err)
			}
		}
		for _, label := range []string{"spec.prompt", "status", "metadata.uid", ""} {
			if _, _, err := scheme.ConvertFieldLabel(gvk, label, "x"); err == nil {
				t.Errorf("%s can be selected by %q", gvk, label)
			}
		}
	}
	labels, set, err := Attributes(existing("a", v1alpha1.SessionRunning))
	if err != nil || labels[v1alpha1.SessionIDLabel] != "2Abc" {
		t.Fatalf("labels are %v, %v", labels, err)
	}
	for selector, want := range map[string]bool{
		"status.phase=Running,spec.displayName=a,metadata.name=a,metadata.namespace=team-a": true,
		"status.phase!=Running": false, "spec.displayName=b": false,
	} {
		if got := fields.ParseSelectorOrDie(selector).Matches(set); got != want {
			t.Errorf("%s: %t", selector, got)
		}
	}
	if _, _, err := Attributes(&v1alpha1.Project{}); err == nil {
		t.Error("a Project has the attributes of a Session")
	}
}

func TestDiscoveryNamesTheResource(t *testing.T) {
	s := newStand(t, Hooks{})
	if got := s.Session.(rest.ShortNamesProvider).ShortNames(); !slices.Equal(got, []string{"sess"}) {
		t.Errorf("short names are %q", got)
	}
	if got := s.Session.(rest.CategoriesProvider).Categories(); !slices.Equal(got, []string{"ambient"}) {
		t.Errorf("categories are %q", got)
	}
	if got := s.Session.(rest.SingularNameProvider).GetSingularName(); got != "session" {
		t.Errorf("the singular is %q", got)
	}
	if _, ok := s.Start.(rest.StorageMetadata).ProducesObject("POST").(v1alpha1.Session); !ok {
		t.Error("start does not say that it answers with a Session")
	}
}
