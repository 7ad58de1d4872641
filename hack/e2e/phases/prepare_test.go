package phases

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/phases/table"
)

var agenticSessions = schema.GroupVersionResource{Group: "vteam.ambient-code", Version: "v1alpha1", Resource: "agenticsessions"}

// The times of the runs that the states speak of.
const (
	earlierStart = "2026-01-01T08:00:00Z"
	earlierEnd   = "2026-01-01T09:00:00Z"
	thisStart    = "2026-01-01T10:00:00Z"
	thisEnd      = "2026-01-01T11:00:00Z"
	askedAt      = "2026-01-01T10:30:00Z"
)

// subject is the session in which a row of the table is tried.
type subject struct {
	table.Row
	// id is its upstream id.
	id string
}

func (s *subject) String() string {
	return strings.TrimSpace(fmt.Sprintf("upstream %q, AgenticSession %s %s", s.Upstream, s.Resource, strings.Join(s.Given, ", ")))
}

// name is that of the Session, which was born upstream, and of its AgenticSession.
func (s *subject) name() string { return strings.ToLower(s.id) }

// state is a point in an AgenticSession's life, as its annotations spell it.
type state struct {
	Phase          string `json:"phase,omitempty"`
	StartTime      string `json:"startTime,omitempty"`
	CompletionTime string `json:"completionTime,omitempty"`
}

// state returns where the AgenticSession is: one that has begun has a start, and
// one that has ended an end.
func (s *subject) state() state {
	switch s.Resource {
	case "Creating", "Running", "Stopping":
		return state{s.Resource, thisStart, ""}
	case "Stopped", "Completed", "Failed":
		return state{s.Resource, thisStart, thisEnd}
	case "Pending":
		return state{Phase: s.Resource}
	default:
		return state{}
	}
}

// annotations returns what the AgenticSession bears of requests and reports.
func (s *subject) annotations(t *testing.T) map[string]string {
	t.Helper()
	annotations := map[string]string{}
	put := func(key string, value any) {
		content, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		annotations[key] = string(content)
	}
	ask := func(request, desired, at string, from state) {
		put("ambient.io/handled-request", map[string]any{"phase": request, "time": askedAt, "from": from})
		if !s.Has(table.RequestTaken) {
			annotations["ambient-code.io/desired-phase"], annotations[at] = desired, askedAt
		}
	}
	switch {
	case s.Has(table.StartSent):
		ask("Pending", "Running", "ambient-code.io/start-requested-at", s.state())
	case s.Has(table.StartSentBefore):
		ask("Pending", "Running", "ambient-code.io/start-requested-at", state{"Stopped", earlierStart, earlierEnd})
	case s.Has(table.StopSent) && s.Has(table.AnotherRun):
		ask("Stopping", "Stopped", "ambient-code.io/stop-requested-at", state{"Running", earlierStart, ""})
	case s.Has(table.StopSent):
		ask("Stopping", "Stopped", "ambient-code.io/stop-requested-at", state{"Running", thisStart, ""})
	}
	switch {
	case s.Has(table.EndReported):
		put("ambient.io/reported", s.state())
	case s.Has(table.EndReportedBefore):
		put("ambient.io/reported", state{"Stopped", thisStart, thisEnd})
	}
	return annotations
}

// placeResource brings the AgenticSession into its state.
func (s *subject) placeResource(t *testing.T, namespace string) {
	t.Helper()
	client, past := dynamicClient.Resource(agenticSessions).Namespace(namespace), reconcilerClient.Resource(agenticSessions).Namespace(namespace)
	if s.Resource == table.Gone {
		if err := client.Delete(t.Context(), s.name(), metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if !s.Exists() {
		return
	}
	patch := func(client dynamic.ResourceInterface, content map[string]any, subresources ...string) {
		text, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Patch(t.Context(), s.name(), types.MergePatchType, text, metav1.PatchOptions{}, subresources...); err != nil {
			t.Fatalf("placing %s: %v", s, err)
		}
	}
	if annotations := s.annotations(t); len(annotations) > 0 {
		patch(past, map[string]any{"metadata": map[string]any{"annotations": annotations}})
	}
	if s.Resource != table.New {
		patch(client, map[string]any{"status": s.state()}, "status")
	}
}

// placeRow brings the upstream's row into its state.
func (s *subject) placeRow(t *testing.T) {
	t.Helper()
	request := &ambientv1.UpdateSessionStatusRequest{Id: s.id}
	if s.Upstream != "" {
		request.Phase = &s.Upstream
	}
	if s.Has(table.RunKnown) || s.Has(table.EndKnown) {
		request.StartTime = stamp(t, thisStart)
	}
	if s.Has(table.EndKnown) {
		request.CompletionTime = stamp(t, thisEnd)
	}
	if s.Has(table.LossKnown) {
		conditions := `[{"type":"Projected","status":"False","reason":"CustomResourceLost","message":"It is gone.","lastTransitionTime":"` + earlierEnd + `"}]`
		request.Conditions = &conditions
	}
	if request.Phase == nil && request.StartTime == nil && request.Conditions == nil {
		return
	}
	if _, err := stand.Upstream.Sessions.UpdateSessionStatus(t.Context(), request); err != nil {
		t.Fatalf("placing %s: %v", s, err)
	}
}

func stamp(t *testing.T, text string) *timestamppb.Timestamp {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return timestamppb.New(parsed)
}

// place makes a session for each row of the table and brings it into its state. In
// the end the reconciler is away, and has been there before.
func place(t *testing.T) (project string, subjects []*subject) {
	t.Helper()
	project = stand.NewProject(t)
	for _, row := range phases.Rows {
		subjects = append(subjects, &subject{Row: row})
	}
	create := func(wanted bool) {
		for _, s := range subjects {
			if (s.Resource != table.Never) == wanted {
				row := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: s.String(), ProjectId: &project})
				s.id = row.GetMetadata().GetId()
			}
		}
	}
	create(true)
	harness.Eventually(t, "the reconciler has made the AgenticSessions, and the upstream knows", func() error {
		rows := map[string]*ambientv1.Session{}
		for _, row := range stand.Upstream.SessionsIn(t, project) {
			rows[row.GetMetadata().GetId()] = row
		}
		for _, s := range subjects {
			if row := rows[s.id]; s.id != "" && row.GetKubeCrUid() == "" {
				return fmt.Errorf("not that of %s", s)
			}
		}
		return nil
	})
	if _, err := stand.Stack.Reconciler.Terminate(t.Context()); err != nil {
		t.Fatal(err)
	}
	create(false)
	for _, s := range subjects {
		s.placeResource(t, project)
		s.placeRow(t)
	}
	return project, subjects
}
