package stack

import (
	"context"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/client/versioned"
	"github.com/ambient-code/ambient-kube/hack/process"
)

// exitTimeout is how long each of our programs may take to end.
const exitTimeout = 10 * time.Second

func TestTheWholeStack(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s, err := Start(ctx, Options{Directory: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	}()

	var names []string
	for _, p := range s.Processes() {
		names = append(names, p.Name())
	}
	if !slices.Equal(names, Names()) {
		t.Errorf("started were %v, want %v", names, Names())
	}
	client, err := versioned.NewForConfig(s.Config())
	if err != nil {
		t.Fatal(err)
	}
	project := &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: "lasting"}}
	if _, err := client.AmbientV1alpha1().Projects().Create(ctx, project, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	// What Restart waits for is what makes this a proof: readiness through the
	// probes, and for our API server through kube-apiserver.
	for _, p := range []*process.Process{s.Upstream, s.Extension, s.Operator, s.Reconciler} {
		t.Run(p.Name()+" comes back after a kill -9", func(t *testing.T) {
			if err := p.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := p.Restart(ctx); err != nil {
				t.Fatal(err)
			}
		})
		t.Run(p.Name()+" ends with code 0 on SIGTERM", func(t *testing.T) {
			limited, cancel := context.WithTimeout(ctx, exitTimeout)
			defer cancel()
			if code, err := p.Terminate(limited); err != nil || code != 0 {
				t.Errorf("got code %d, error %v; want 0, nil", code, err)
			}
			if err := p.Restart(ctx); err != nil {
				t.Fatal(err)
			}
		})
	}
	if _, err := client.AmbientV1alpha1().Projects().Get(ctx, project.Name, metav1.GetOptions{}); err != nil {
		t.Errorf("after all restarts: %v", err)
	}
}
