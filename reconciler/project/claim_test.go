package project

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

const here, there = "uid-here", "uid-there"

// newCluster is a stage in the cluster here, with a project that is owned and
// wished for as told.
func newCluster(t *testing.T, owner, wish string) *stage {
	s := newStage(t, Retain, id)
	s.controller.Cluster, s.gate.cluster = here, here
	s.change(func(project *v1alpha1.Project) {
		project.Status.Cluster = owner
		if wish != "" {
			project.Annotations = map[string]string{v1alpha1.ProjectIntoAnnotation: wish}
		}
	})
	s.native.ClearActions()
	return s
}

func (s *stage) change(change func(*v1alpha1.Project)) {
	s.t.Helper()
	project := s.projectNow()
	change(project)
	_, err := s.native.AmbientV1alpha1().Projects().Update(context.Background(), project, metav1.UpdateOptions{})
	s.check(err)
}

func (s *stage) projectNow() *v1alpha1.Project {
	s.t.Helper()
	project, err := s.native.AmbientV1alpha1().Projects().Get(context.Background(), id, metav1.GetOptions{})
	s.check(err)
	return project
}

func TestDecision10OneClusterProjectsAProject(t *testing.T) {
	for _, test := range []struct {
		name, owner, wish string
		ours              bool
	}{
		{"nobody's is claimed", "", "", true},
		{"ours stays ours", here, "", true},
		{"another's is left alone", there, "", false},
		{"nobody's that a person gave to another", "", there, false},
		{"ours until the one that it was given to claims it", here, there, true},
		{"another's that a person gave to us", there, here, true},
		{"what was given to us and is ours", here, here, true},
		{"what was given to one and is another's", "uid-third", there, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newCluster(t, test.owner, test.wish)
			s.reconcile(id)
			s.reconcile(id)
			s.reconcile(id)
			obstacle := s.gate.Obstacle(id)
			if !test.ours {
				if s.namespace(id) != nil || s.projectNow().Status.Cluster != test.owner {
					t.Errorf("namespace %+v, claimed by %q", s.namespace(id), s.projectNow().Status.Cluster)
				}
				for _, action := range s.native.Actions() {
					if action.GetVerb() == "patch" {
						t.Errorf("written: %s %s", action.GetVerb(), action.GetResource().Resource)
					}
				}
				if !obstacle.Foreign || obstacle.Reason != v1alpha1.ReasonProjectedByAnotherCluster {
					t.Errorf("obstacle %+v", obstacle)
				}
				events := s.controller.Events.(*record.FakeRecorder).Events
				if len(events) != 1 || s.controller.Foreign() != 1 {
					t.Errorf("%d events, %d counted, want one of each", len(events), s.controller.Foreign())
				}
				return
			}
			if s.expectStatus(id, "True", "NamespaceReady").Status.Cluster != here || obstacle.Reason != "" || s.controller.Foreign() != 0 {
				t.Errorf("claimed by %q, obstacle %+v", s.projectNow().Status.Cluster, obstacle)
			}
		})
	}
}

func TestDecision10NothingIsProjectedBeforeTheClaimStands(t *testing.T) {
	s := newCluster(t, "", "")
	s.native.PrependReactor("patch", "projects", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewConflict(v1alpha1.Resource("projects"), id, nil)
	})
	s.check(s.stores.Projects.Replace([]any{s.projectNow()}, ""))
	if _, err := s.controller.Reconcile(context.Background(), id); !apierrors.IsConflict(err) {
		t.Fatalf("the pass returned %v, want the conflict", err)
	}
	if s.namespace(id) != nil {
		t.Error("a namespace was made for a project that may be another's by now")
	}
	if obstacle := s.gate.Obstacle(id); !obstacle.Transient || obstacle.Foreign {
		t.Errorf("obstacle %+v", obstacle)
	}
}

func TestDecision10WhatIsGivenAwayIsLeftAsItIs(t *testing.T) {
	s := newCluster(t, here, "")
	s.reconcile(id)
	s.change(func(project *v1alpha1.Project) { project.Status.Cluster = there })
	s.kube.ClearActions()
	s.reconcile(id)
	for _, action := range s.kube.Actions() {
		if verb := action.GetVerb(); verb != "list" && verb != "get" {
			t.Errorf("%s %s for another cluster's project", verb, action.GetResource().Resource)
		}
	}
	if !s.gate.Obstacle(id).Foreign {
		t.Error("sessions would go on being projected")
	}
}

// Whose a project was is known as long as anybody may still see its sessions.
func TestDecision10AProjectOfAnotherClusterStaysSoWhenItsRowIsGone(t *testing.T) {
	for _, owner := range []string{here, there, ""} {
		s := newCluster(t, owner, "")
		project := s.projectNow()
		s.check(s.stores.Projects.Delete(project))
		s.gate.ProjectShown(project, true)
		if obstacle := s.gate.Obstacle(id); obstacle.Foreign != (owner == there) {
			t.Errorf("claimed by %q: obstacle %+v", owner, obstacle)
		}
		project.Status.Cluster = here
		s.check(s.stores.Projects.Add(project))
		s.gate.ProjectShown(project, false)
		s.check(s.stores.Projects.Delete(project))
		if obstacle := s.gate.Obstacle(id); obstacle.Foreign {
			t.Errorf("claimed by %q, and then by us: obstacle %+v", owner, obstacle)
		}
	}
}

// The API server leaves annotations that are no JSON object as they are: the claim is
// answered, and not kept.
func TestDecision10AClaimThatIsNotKept(t *testing.T) {
	for _, ours := range []bool{true, false} {
		t.Run(fmt.Sprintf("the namespace stands here: %v", ours), func(t *testing.T) {
			s := newCluster(t, here, "")
			if ours {
				s.reconcile(id)
			}
			s.change(func(project *v1alpha1.Project) { project.Status.Cluster = "" })
			answer := s.projectNow()
			s.native.PrependReactor("patch", "projects", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, answer, nil
			})
			s.reconcile(id)
			s.reconcile(id)
			if made := s.namespace(id) != nil; made != ours {
				t.Errorf("there is a namespace: %v, want %v", made, ours)
			}
			if open := s.gate.Obstacle(id).Reason == ""; open != ours {
				t.Errorf("sessions are projected: %v, want %v", open, ours)
			}
			events := s.controller.Events.(*record.FakeRecorder).Events
			close(events)
			said := 0
			for event := range events {
				if strings.Contains(event, "not a JSON object") {
					said++
				}
			}
			if said != 1 {
				t.Errorf("%d events say why, want one", said)
			}
		})
	}
}
