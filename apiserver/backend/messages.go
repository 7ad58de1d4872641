package backend

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/upstream"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// userMessage is the type of a message that a person sent.
const userMessage = "user"

const (
	// messageTimeout bounds the call that stores a prompt while the client that
	// created the session waits.
	messageTimeout = 2 * time.Second
	// messagePatience is how long it is tried to store a prompt.
	messagePatience = time.Minute
)

// firstMessage is a prompt that is to stand among the messages of its session.
type firstMessage struct {
	request *ambientv1.PushSessionMessageRequest
	noticed time.Time
}

// messages stores the prompts of new sessions as their first messages. The upstream
// does so itself where a session is created by REST, and not where it is by gRPC.
type messages struct {
	// queue holds the prompts that could not be stored yet.
	queue workqueue.TypedRateLimitingInterface[*firstMessage]
	// unknown is true once the upstream said that it knows no messages.
	unknown atomic.Bool
}

func newMessages() *messages {
	pauses := workqueue.NewTypedItemExponentialFailureRateLimiter[*firstMessage](repairPause, repairPauseAtMost)
	return &messages{queue: workqueue.NewTypedRateLimitingQueue(pauses)}
}

// storePrompt stores the prompt of a session that was created just now. That it can't
// be stored is no failure of the creation: it is tried again.
func (s *Sessions) storePrompt(ctx context.Context, id, prompt string) {
	if prompt == "" || s.messages.unknown.Load() {
		return
	}
	message := &firstMessage{
		request: &ambientv1.PushSessionMessageRequest{SessionId: id, EventType: userMessage, Payload: prompt},
		noticed: time.Now(),
	}
	ctx, cancel := context.WithTimeout(ctx, messageTimeout)
	defer cancel()
	if err := s.push(ctx, message); err != nil {
		klog.FromContext(ctx).V(2).Info("A prompt could not be stored as its session's first message yet", "id", id, "err", err)
		s.messages.queue.AddRateLimited(message)
	}
}

// push stores a message. One that may have been stored is not sent again: a prompt
// that stands there twice is read as two.
func (s *Sessions) push(ctx context.Context, message *firstMessage) error {
	return s.call(ctx, false, message.request.GetSessionId(), func(ctx context.Context) error {
		_, err := s.client.PushSessionMessage(ctx, message.request)
		switch {
		case status.Code(err) == codes.Unimplemented:
			s.messages.unknown.Store(true)
			klog.FromContext(ctx).Info("The upstream knows no messages of sessions: prompts are not stored as messages")
			return nil
		case status.Code(err) == codes.NotFound:
			// The session is gone already.
			return nil
		case upstream.Ambiguous(err):
			klog.FromContext(ctx).Info("Whether a prompt was stored as its session's first message is not known", "id", message.request.GetSessionId(), "err", err)
			return nil
		}
		return err
	})
}

// storeForEver stores what could not be stored at first, until the context ends.
func (s *Sessions) storeForEver(ctx context.Context) error {
	queue := s.messages.queue
	drain(ctx, queue, func(message *firstMessage) {
		bounded, cancel := context.WithTimeout(ctx, repairTimeout)
		defer cancel()
		err := s.push(bounded, message)
		if err != nil && ctx.Err() == nil && time.Since(message.noticed) < messagePatience {
			queue.AddRateLimited(message)
			return
		}
		queue.Forget(message)
		if err != nil {
			klog.FromContext(ctx).Info("A prompt was not stored as its session's first message", "id", message.request.GetSessionId(), "err", err)
		}
	})
	return nil
}
