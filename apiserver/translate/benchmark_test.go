package translate

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// bornUpstream is a session as most are: created upstream, run by the operator.
func bornUpstream() *ambientv1.Session {
	return session(func(s *ambientv1.Session) {
		s.Prompt, s.LlmModel, s.LlmTemperature, s.LlmMaxTokens = proto.String("Do it."), proto.String("large"), proto.Float64(0.7), proto.Int32(4000)
		s.Repos = proto.String(`[{"url":"https://git.example/a.git","branch":"main"}]`)
		s.Labels = proto.String(`{"team":"a","app.kubernetes.io/name":"x"}`)
		s.Annotations = proto.String(`{"note":"Any text."}`)
		s.Phase, s.StartTime = proto.String("Running"), timestamppb.New(started)
		s.KubeCrUid, s.KubeNamespace = proto.String("0b6d3f4e-0000-0000-0000-000000000000"), proto.String("team-a")
		s.Conditions = proto.String(`[{"type":"SecretsReady","status":"True","reason":"AllRequiredSecretsFound","message":"m","lastTransitionTime":"2026-03-04T06:00:00Z","observedGeneration":1},
			{"type":"PodCreated","status":"True","reason":"PodCreated","message":"m","lastTransitionTime":"2026-03-04T06:00:00Z","observedGeneration":1},
			{"type":"RunnerStarted","status":"True","reason":"ContainerRunning","message":"m","lastTransitionTime":"2026-03-04T06:00:00Z","observedGeneration":1}]`)
		s.ReconciledRepos = proto.String(`[{"url":"https://git.example/a.git","branch":"main","status":"Ready","clonedAt":"2026-03-04T06:00:00Z"}]`)
	})
}

// bornInKubernetes is the same, created and applied to through the API.
func bornInKubernetes(b *testing.B) *ambientv1.Session {
	row := bornUpstream()
	r := Reserved{Name: "mine", Token: "f47ac10b-58cc-4372-a567-0e02b2c3d479", CreatedBy: "ann", Generation: 1, SpecHash: "mtk.0123456789abcdef"}
	r.set(thisCluster, metadata())
	row.Annotations = text(annotationsWith(b, row.GetAnnotations(), r))
	return row
}

func benchmarkSession(b *testing.B, row *ambientv1.Session) {
	b.ReportAllocs()
	for b.Loop() {
		// What a feed asks for each row.
		translator.Session(row, Placement{Namespace: translator.SessionNamespace(row), Name: translator.SessionName(row)})
	}
}

func BenchmarkSessionOfNothing(b *testing.B)        { benchmarkSession(b, session()) }
func BenchmarkSessionBornUpstream(b *testing.B)     { benchmarkSession(b, bornUpstream()) }
func BenchmarkSessionBornInKubernetes(b *testing.B) { benchmarkSession(b, bornInKubernetes(b)) }

func BenchmarkSessionEqual(b *testing.B) {
	one, two := read(bornUpstream()), read(bornUpstream())
	b.ReportAllocs()
	for b.Loop() {
		if !Equal(one, two) {
			b.Fatal("different")
		}
	}
}

func BenchmarkSessionStatusUpdate(b *testing.B) {
	row := bornInKubernetes(b)
	current := read(row)
	desired := current.DeepCopy()
	desired.Status.Phase = "Completed"
	desired.Status.Conditions[2].Status = "False"
	b.ReportAllocs()
	for b.Loop() {
		if _, status, err := translator.SessionUpdate(row, current, desired); status == nil || err != nil {
			b.Fatal(status, err)
		}
	}
}
