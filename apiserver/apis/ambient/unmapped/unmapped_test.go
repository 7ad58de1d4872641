package unmapped

import (
	"slices"
	"strings"
	"testing"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

func full() *v1alpha1.SessionSpec {
	return &v1alpha1.SessionSpec{
		Prompt: "Say hello", BotAccountName: "bot",
		Repositories:      []v1alpha1.Repository{{URL: "u"}, {URL: "v", Name: "named"}},
		Workflow:          &v1alpha1.Workflow{ID: "7"},
		ResourceOverrides: &v1alpha1.ResourceOverrides{CPU: "1"},
		Environment:       map[string]string{"TOKEN": "hidden", "NAMESPACE": "hidden", "1=2": "hidden"},
	}
}

func paths(fields []Field) []string {
	var result []string
	for _, field := range fields {
		result = append(result, field.Path)
	}
	return result
}

func TestFields(t *testing.T) {
	all := []string{"spec.repositories[1].name", "spec.workflow.id", "spec.botAccountName", "spec.resourceOverrides", "spec.environment[1=2]", "spec.environment[NAMESPACE]"}
	for _, test := range []struct {
		name string
		edit func(spec *v1alpha1.SessionSpec)
		old  *v1alpha1.SessionSpec
		want []string
	}{
		{"of a new session", func(*v1alpha1.SessionSpec) {}, &v1alpha1.SessionSpec{}, all},
		{"that did not change", func(*v1alpha1.SessionSpec) {}, full(), nil},
		{"beside a change of another", func(spec *v1alpha1.SessionSpec) { spec.Environment["TOKEN"] = "other" }, full(), nil},
		{"that changed", func(spec *v1alpha1.SessionSpec) {
			spec.Repositories[1].Name = "renamed"
			spec.Workflow.ID = "8"
			spec.BotAccountName = "another"
			spec.ResourceOverrides.CPU = "2"
			spec.Environment["NAMESPACE"] = "other"
		}, full(), slices.DeleteFunc(slices.Clone(all), func(path string) bool { return path == "spec.environment[1=2]" })},
		{"that were taken away", func(spec *v1alpha1.SessionSpec) { *spec = v1alpha1.SessionSpec{} }, full(), nil},
		{"that say nothing", func(spec *v1alpha1.SessionSpec) {
			*spec = v1alpha1.SessionSpec{Workflow: &v1alpha1.Workflow{}, ResourceOverrides: &v1alpha1.ResourceOverrides{}}
		}, &v1alpha1.SessionSpec{}, nil},
		{"of a workflow that has a place", func(spec *v1alpha1.SessionSpec) {
			*spec = v1alpha1.SessionSpec{Workflow: &v1alpha1.Workflow{ID: "7", GitURL: "g"}}
		}, &v1alpha1.SessionSpec{}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec := full()
			test.edit(spec)
			fields := Fields(spec, test.old)
			if got := paths(fields); !slices.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
			for _, field := range fields {
				if field.Why == "" || strings.Contains(field.Why, "hidden") {
					t.Errorf("%+v", field)
				}
			}
		})
	}
}

func TestVariable(t *testing.T) {
	for name, want := range map[string]bool{"S3_BUCKET": true, "a b=": true, "": true, "TOKEN": false, "s3_bucket": false} {
		if got := Variable(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
