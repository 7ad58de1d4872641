package model

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// mostRows is how many rows the other side lets there be before it deletes some.
const mostRows = 120

// objectName is the name of the session in Kubernetes: one that was born upstream
// bears its id in lower case.
func (e *entry) objectName() string {
	if e.name != "" {
		return e.name
	}
	return strings.ToLower(e.id)
}

// theirs writes directly at the upstream, as its own users do: rows of its own,
// and columns of contested ones. Each write changes something: a racing save that
// changes nothing cannot be told from a decision (docs/guarantees.md).
type theirs struct {
	model   *model
	random  *rand.Rand
	number  int
	counter int
	own     []*entry
}

func newTheirs(m *model, seed uint64, number int) *theirs {
	return &theirs{model: m, number: number, random: rand.New(rand.NewPCG(seed, uint64(100+number)))}
}

func (w *theirs) run(ctx context.Context, operations int) error {
	for range operations {
		if err := w.step(ctx); err != nil {
			return fmt.Errorf("their writer %d: %w", w.number, err)
		}
	}
	return nil
}

func (w *theirs) step(ctx context.Context) error {
	what, choice, contested := w.random.IntN(100), w.random.IntN(1<<30), w.random.IntN(2) == 0
	w.counter++
	pause(ctx, rand.N(longestPause))
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	e := w.choose(choice, what < 60)
	switch {
	case e == nil || what < 15 && len(w.own) < mostRows/theirWriters:
		w.model.did("their creation")
		return w.create(ctx, contested)
	case what < 60:
		w.model.did("their write of a contested one")
		return w.write(ctx, e, what%2 == 0)
	case what < 90 && !e.contested:
		w.model.did("their write of their own")
		return w.count(ctx, e)
	case what < 90:
		w.model.did("their write of a contested one")
		return w.write(ctx, e, true)
	default:
		w.model.did("their deletion")
		return w.remove(ctx, e)
	}
}

// choose returns a contested entry of anybody, or an entry of its own.
func (w *theirs) choose(choice int, contested bool) *entry {
	entries := w.own
	if contested {
		entries = w.model.snapshot()
	}
	var candidates []*entry
	for _, e := range entries {
		e.mu.Lock()
		if e.id != "" && e.present == there && (!contested || e.contested) {
			candidates = append(candidates, e)
		}
		e.mu.Unlock()
	}
	if len(candidates) == 0 {
		return nil
	}
	return candidates[choice%len(candidates)]
}

func (w *theirs) value(what string) *string {
	return proto.String(fmt.Sprintf("%s-%d-%d", what, w.number, w.counter))
}

func (w *theirs) create(ctx context.Context, contested bool) error {
	e := &entry{contested: contested, present: there, sequence: 1, prompts: map[string]bool{"prompt 000001": true}}
	row, err := stand.Upstream.Sessions.CreateSession(ctx, &ambientv1.CreateSessionRequest{
		Name: *w.value("row"), ProjectId: &w.model.project, Prompt: proto.String("prompt 000001"),
	})
	if err != nil {
		// Whether there is a row now is for the comparison of all sides to say.
		return unexpectedUpstream(err)
	}
	e.id = row.GetMetadata().GetId()
	w.own = append(w.own, w.model.add(e))
	return nil
}

// write changes a column that our side does not write.
func (w *theirs) write(ctx context.Context, e *entry, ofStatus bool) error {
	e.mu.Lock()
	id := e.id
	at := len(e.theirs)
	e.theirs = append(e.theirs, span{time.Now(), time.Now().Add(24 * time.Hour)})
	e.mu.Unlock()
	var err error
	if ofStatus {
		_, err = stand.Upstream.Sessions.UpdateSessionStatus(ctx, &ambientv1.UpdateSessionStatusRequest{
			Id: id, Phase: proto.String([]string{"Running", "Completed", "Failed"}[w.counter%3]), SdkSessionId: w.value("sdk"),
		})
	} else {
		_, err = stand.Upstream.Sessions.UpdateSession(ctx, &ambientv1.UpdateSessionRequest{Id: id, RepoUrl: w.value("https://example.com/repository")})
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.theirs[at].to = time.Now()
	if err != nil {
		// The upstream may be at work still.
		e.theirs[at].to = time.Now().Add(patience)
	}
	return unexpectedUpstream(err)
}

// count writes the next prompt of a row that nobody else writes.
func (w *theirs) count(ctx context.Context, e *entry) error {
	prompt := e.nextPrompt()
	from := time.Now()
	_, err := stand.Upstream.Sessions.UpdateSession(ctx, &ambientv1.UpdateSessionRequest{Id: e.id, Prompt: &prompt})
	e.wrote(prompt, span{from, time.Now()}, err)
	return unexpectedUpstream(err)
}

func (w *theirs) remove(ctx context.Context, e *entry) error {
	w.model.doom(e.id)
	e.mu.Lock()
	e.present = unknown
	e.mu.Unlock()
	_, err := stand.Upstream.Sessions.DeleteSession(ctx, &ambientv1.DeleteSessionRequest{Id: e.id})
	for i, other := range w.own {
		if other == e {
			w.own = append(w.own[:i:i], w.own[i+1:]...)
			break
		}
	}
	return unexpectedUpstream(err)
}

// unexpectedUpstream returns an error that no fault explains.
func unexpectedUpstream(err error) error {
	switch status.Code(err) {
	case codes.OK, codes.NotFound, codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Unauthenticated, codes.PermissionDenied, codes.Canceled, codes.ResourceExhausted:
		return nil
	default:
		return err
	}
}
