package reconciler

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"

	ambientfake "github.com/ambient-code/ambient-kube/apiserver/client/versioned/fake"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// A process may lead many times, and lose the lead before it knows what to work on.
func TestATimeInTheLeadThatEndsAtOnceLeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	c := &clients{
		kube: fake.NewClientset(), ambient: ambientfake.NewSimpleClientset(),
		dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
			map[schema.GroupVersionResource]string{agenticsession.Resource: "AgenticSessionList"}),
		metadata: metadatafake.NewSimpleMetadataClient(metadatafake.NewTestScheme()),
	}
	ctx, lose := context.WithCancelCause(t.Context())
	lose(errLeadLost)
	if err := newRun(NewOptions(), c, "cluster", prometheus.NewRegistry(), newProbes()).lead(ctx); err != nil {
		t.Errorf("ended with %v", err)
	}
	goleak.VerifyNone(t, before)
}
