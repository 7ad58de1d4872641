package leadership

import (
	"context"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func pod(name string, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: name, Labels: labels}}
}

func ours(serving bool) map[string]string {
	labels := map[string]string{nameLabel: "app"}
	if serving {
		labels[ServingLabel] = "true"
	}
	return labels
}

func TestDecision27TheLabelComesOffAllOthersFirst(t *testing.T) {
	for name, test := range map[string]struct {
		orderly bool
		own     int
	}{
		"after a kill":               {false, 2},
		"after an orderly hand-over": {true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			stranger := pod("stranger", map[string]string{ServingLabel: "true"})
			client := fake.NewClientset(pod("own", ours(false)), pod("former", ours(true)), pod("older", ours(true)), pod("idle", ours(false)), stranger)
			pods := &Pods{Client: client.CoreV1().Pods("system"), App: "app", Name: "own"}
			if err := pods.takeOver(t.Context(), test.orderly); err != nil {
				t.Fatal(err)
			}
			var patched []string
			for _, action := range client.Actions() {
				if patch, is := action.(clienttesting.PatchAction); is {
					patched = append(patched, patch.GetName())
				}
			}
			if len(patched) != 3 || patched[test.own] != "own" {
				t.Errorf("patched %v, want the own pod as number %d of three", patched, test.own)
			}
			serving, err := pods.serving(t.Context())
			if err != nil || !slices.Equal(serving, []string{"own"}) {
				t.Errorf("%v serve (%v)", serving, err)
			}
			client.ClearActions()
			if err := pods.takeOver(t.Context(), test.orderly); err != nil {
				t.Fatal(err)
			}
			if actions := client.Actions(); len(actions) != 1 {
				t.Errorf("when all is well it did %v", actions)
			}
		})
	}
}

func TestDecision27TheLabelStaysUntilAnotherPodServes(t *testing.T) {
	client := fake.NewClientset(pod("own", ours(true)), pod("next", ours(false)))
	pods := &Pods{Client: client.CoreV1().Pods("system"), App: "app", Name: "own"}
	hasty, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	pods.AwaitSuccessor(hasty)
	if hasty.Err() == nil {
		t.Error("it did not wait for a successor")
	}
	if err := pods.label(t.Context(), "next", true); err != nil {
		t.Fatal(err)
	}
	pods.AwaitSuccessor(t.Context())
}
