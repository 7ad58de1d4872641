package translate

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

func TestUnchangedElementsKeepTheirBytes(t *testing.T) {
	type repository = v1alpha1.Repository
	const held = `[ {"url":"a","depth":1} ,
	{ "url" : "b" , "autoPush" : false } , "c", {"url":"d","branch":"x"} ]`
	for _, test := range []struct {
		name   string
		change func([]repository) []repository
		want   string
	}{
		{"one changes", func(r []repository) []repository { r[0].Branch = "m"; return r },
			`[ {"url":"a","depth":1,"branch":"m"} ,
	{ "url" : "b" , "autoPush" : false } , "c", {"url":"d","branch":"x"} ]`},
		{"a flag changes under its own name", func(r []repository) []repository { r[1].AutoPush = proto.Bool(true); return r },
			`[ {"url":"a","depth":1} ,
	{ "url" : "b" , "autoPush" : true } , "c", {"url":"d","branch":"x"} ]`},
		{"a flag comes under the name that is in use", func(r []repository) []repository { r[3].AutoPush = proto.Bool(true); return r },
			`[ {"url":"a","depth":1} ,
	{ "url" : "b" , "autoPush" : false } , "c", {"url":"d","branch":"x","autoPush":true} ]`},
		{"a bare URL gets a branch", func(r []repository) []repository { r[2].Branch = "m"; return r },
			`[ {"url":"a","depth":1} ,
	{ "url" : "b" , "autoPush" : false } , {"url":"c","branch":"m"}, {"url":"d","branch":"x"} ]`},
		{"another order", func(r []repository) []repository { slices.Reverse(r); return r },
			`[ {"url":"d","branch":"x"} ,
	"c" ,
	{ "url" : "b" , "autoPush" : false } ,
	{"url":"a","depth":1} ]`},
		{"one goes", func(r []repository) []repository { return slices.Delete(r, 1, 2) },
			`[ {"url":"a","depth":1} ,
	"c", {"url":"d","branch":"x"} ]`},
		{"one comes in the middle", func(r []repository) []repository { return slices.Insert(r, 3, repository{URL: "n"}) },
			`[ {"url":"a","depth":1} ,
	{ "url" : "b" , "autoPush" : false } , "c" ,
	{"url":"n"} ,
	{"url":"d","branch":"x"} ]`},
		{"the same URL twice", func(r []repository) []repository { return append(r, repository{URL: "a", Name: "again"}) },
			`[ {"url":"a","depth":1} ,
	{ "url" : "b" , "autoPush" : false } , "c", {"url":"d","branch":"x"} ,
	{"url":"a","name":"again"} ]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			row := session(func(s *ambientv1.Session) { text := held; s.Repos = &text })
			var want []repository
			next := mustSpec(t, row, func(s *v1alpha1.Session) {
				s.Spec.Repositories = test.change(s.Spec.Repositories)
				want = s.Spec.Repositories
			}, "repos", "annotations")
			if got := next.GetRepos(); got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
			same(t, "read back", read(next).Spec.Repositories, want)
		})
	}
}

func TestOverridesAndWorkflowsKeepTheirStyle(t *testing.T) {
	row := session(func(s *ambientv1.Session) {
		s.ResourceOverrides = proto.String(`{"cpu": 2, "gpu": 1, "storageClass": "a"}`)
		s.WorkflowId = proto.String(`{"gitUrl": "g", "new": true}`)
	})
	next := mustSpec(t, row, func(s *v1alpha1.Session) {
		s.Spec.ResourceOverrides.StorageClassName = "b"
		s.Spec.ResourceOverrides.PriorityClassName = "p"
		s.Spec.Workflow.GitURL = "h"
		s.Spec.Workflow.Path = "p"
	}, "workflow_id", "resource_overrides", "annotations")
	if got, want := next.GetResourceOverrides(), `{"cpu": 2, "gpu": 1, "storageClass": "b", "priority_class": "p"}`; got != want {
		t.Errorf("overrides: %s, want %s", got, want)
	}
	if got, want := next.GetWorkflowId(), `{"gitUrl": "h", "new": true, "path": "p"}`; got != want {
		t.Errorf("workflow: %s, want %s", got, want)
	}
}
