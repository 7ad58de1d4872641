package conformance

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"

	pb "github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

func Test_1_2_MessagesAreReplayedAfterAGivenOneAndThenFollowed(t *testing.T) {
	w := newWorld(t)
	id := w.createSession().GetMetadata().GetId()
	push := func(number int) *pb.SessionMessage {
		return must[*pb.SessionMessage](t)(w.sessions.PushSessionMessage(w.ctx,
			&pb.PushSessionMessageRequest{SessionId: id, EventType: "user", Payload: fmt.Sprint(number)}))
	}
	first := push(1)
	push(2)
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	stream, err := w.sessions.WatchSessionMessages(ctx, &pb.WatchSessionMessagesRequest{SessionId: id, AfterSeq: first.GetSeq()})
	if err != nil {
		t.Fatal(err)
	}
	last := first.GetSeq()
	for number := 2; number <= 4; number++ {
		message, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if message.GetPayload() != fmt.Sprint(number) || message.GetSeq() <= last || message.GetSessionId() != id || message.GetEventType() != "user" {
			t.Errorf("message %d is %v, after seq %d", number, message, last)
		}
		last = message.GetSeq()
		push(number + 1)
	}
}

func Test_1_2_MessagesOfNoSessionAreRefused(t *testing.T) {
	w := newWorld(t)
	_, err := w.sessions.PushSessionMessage(w.ctx, &pb.PushSessionMessageRequest{Payload: "a"})
	wantCode(t, err, codes.InvalidArgument)
}

func Test_2_2_CreateStoresNoFirstMessage(t *testing.T) {
	w := newWorld(t)
	prompt := "a prompt"
	id := w.createSession(func(r *pb.CreateSessionRequest) { r.Prompt = &prompt }).GetMetadata().GetId()
	must[*pb.SessionMessage](t)(w.sessions.PushSessionMessage(w.ctx, &pb.PushSessionMessageRequest{SessionId: id, EventType: "user", Payload: "later"}))
	stream, err := w.sessions.WatchSessionMessages(w.ctx, &pb.WatchSessionMessagesRequest{SessionId: id})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := stream.Recv(); err != nil || first.GetPayload() != "later" {
		t.Errorf("the first message is %v, %v; want the one that was pushed", first, err)
	}
}
