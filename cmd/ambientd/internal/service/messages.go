package service

import (
	"context"

	"github.com/segmentio/ksuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/events"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/store"
)

// messageBatch is the number of messages that a watcher reads at a time.
const messageBatch = 100

// defaultMessageType is the type of a message pushed without one.
const defaultMessageType = "user"

// PushSessionMessage adds a message to a live session.
func (s *sessionServer) PushSessionMessage(ctx context.Context, request *ambientv1.PushSessionMessageRequest) (*ambientv1.SessionMessage, error) {
	if request.GetSessionId() == "" {
		return nil, status.Error(codes.InvalidArgument, "session_id is required")
	}
	if _, err := s.read(ctx, request.GetSessionId()); err != nil {
		return nil, err
	}
	message := &store.Message{
		ID:        ksuid.New().String(),
		SessionID: request.GetSessionId(),
		EventType: request.GetEventType(),
		Payload:   request.GetPayload(),
		CreatedAt: store.Time{Time: s.Faults.Now()},
	}
	if message.EventType == "" {
		message.EventType = defaultMessageType
	}
	if err := s.Database.Messages.Insert(ctx, message); err != nil {
		return nil, statusOf("a message of "+s.name(request.GetSessionId()), err)
	}
	s.Messages.Publish(events.Event{Type: events.Created, ID: message.SessionID})
	return toSessionMessage(message), nil
}

// WatchSessionMessages sends the messages after the given number and then those to
// come. The events of the broker only wake it, so that a lost one loses no message.
func (s *sessionServer) WatchSessionMessages(request *ambientv1.WatchSessionMessagesRequest, stream grpc.ServerStreamingServer[ambientv1.SessionMessage]) error {
	if request.GetSessionId() == "" {
		return status.Error(codes.InvalidArgument, "session_id is required")
	}
	ctx := stream.Context()
	if _, err := s.read(ctx, request.GetSessionId()); err != nil {
		return err
	}
	subscription, err := s.Messages.Subscribe()
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	defer subscription.Cancel()
	for last := request.GetAfterSeq(); ; {
		if last, err = s.sendMessages(stream, request.GetSessionId(), last); err != nil {
			return err
		}
		for woken := false; !woken; {
			select {
			case <-ctx.Done():
				return status.FromContextError(ctx.Err()).Err()
			case event, open := <-subscription.Events():
				if !open {
					return nil
				}
				woken = event.ID == request.GetSessionId()
			}
		}
	}
}

// sendMessages sends all messages after the given number and returns the last one's.
func (s *sessionServer) sendMessages(stream grpc.ServerStreamingServer[ambientv1.SessionMessage], sessionID string, last int64) (int64, error) {
	for {
		messages, err := s.Database.Messages.After(stream.Context(), sessionID, last, messageBatch)
		if err != nil {
			return last, statusOf("the messages of "+s.name(sessionID), err)
		}
		for _, message := range messages {
			if err := stream.Send(toSessionMessage(message)); err != nil {
				return last, err
			}
			last = message.Seq
		}
		if len(messages) < messageBatch {
			return last, nil
		}
	}
}

func toSessionMessage(message *store.Message) *ambientv1.SessionMessage {
	return &ambientv1.SessionMessage{
		Id:        message.ID,
		SessionId: message.SessionID,
		Seq:       message.Seq,
		EventType: message.EventType,
		Payload:   message.Payload,
		CreatedAt: timestamppb.New(message.CreatedAt.Time),
	}
}
