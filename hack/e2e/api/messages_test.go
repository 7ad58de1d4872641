package api

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// A session that was created here looks to the platform like one of its own: the prompt
// is its first message, once.
func TestDecision30ThePromptIsTheFirstMessage(t *testing.T) {
	project := stand.NewProject(t)
	stand.KubectlWithInput(t, "apiVersion: ambient.io/v1alpha1\nkind: Session\nmetadata: {name: worker, namespace: "+project+"}\nspec: {prompt: Say hello}\n", "create", "-f-")
	id := stand.Kubectl(t, "get", "sessions.ambient.io", "worker", "-n", project, "-o", "jsonpath={.status.sessionID}").Stdout
	_, err := stand.Upstream.Sessions.PushSessionMessage(t.Context(), &ambientv1.PushSessionMessageRequest{SessionId: id, EventType: "user", Payload: "And goodbye"})
	if status.Code(err) == codes.Unimplemented {
		t.Skip("this upstream knows no messages")
	}
	if err != nil {
		t.Fatalf("storing a second message: %v", err)
	}
	stream, err := stand.Upstream.Sessions.WatchSessionMessages(t.Context(), &ambientv1.WatchSessionMessagesRequest{SessionId: id})
	if err != nil {
		t.Fatalf("watching the messages: %v", err)
	}
	for _, want := range []string{"Say hello", "And goodbye"} {
		message, err := stream.Recv()
		if err != nil {
			t.Fatalf("waiting for the message %q: %v", want, err)
		}
		if message.GetPayload() != want || message.GetEventType() != "user" {
			t.Errorf("got the message %q of type %s, want %q", message.GetPayload(), message.GetEventType(), want)
		}
	}
}
