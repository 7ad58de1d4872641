package model

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	ambientclient "github.com/ambient-code/ambient-kube/apiserver/client/versioned/typed/ambient/v1alpha1"
)

const (
	ourWriters   = 3
	theirWriters = 2
	// names is how many names each of our writers uses again and again.
	names = 16
	// patience bounds one call; it is long enough for a part to be restarted.
	patience = 10 * time.Second
)

// ours writes through our API: the sessions of its own names, and the prompts of
// the contested ones that were born upstream.
type ours struct {
	model    *model
	random   *rand.Rand
	number   int
	sessions ambientclient.SessionInterface
	own      []*entry
}

func newOurs(m *model, seed uint64, number int) *ours {
	w := &ours{
		model: m, number: number, random: rand.New(rand.NewPCG(seed, uint64(number))),
		sessions: stand.Ambient.AmbientV1alpha1().Sessions(m.project),
	}
	for i := range names {
		w.own = append(w.own, m.add(&entry{name: fmt.Sprintf("w%d-%d", number, i), contested: i%3 != 0, present: absent, prompts: map[string]bool{}}))
	}
	return w
}

func (w *ours) run(ctx context.Context, operations int) error {
	for range operations {
		if err := w.step(ctx); err != nil {
			return fmt.Errorf("our writer %d: %w", w.number, err)
		}
	}
	return nil
}

// longestPause is the longest time between two operations of one writer.
const longestPause = 300 * time.Millisecond

// step does one thing, after a pause. Every decision takes the same numbers from the source,
// whatever the state, so that the seed decides.
func (w *ours) step(ctx context.Context) error {
	e := w.own[w.random.IntN(len(w.own))]
	what, foreign := w.random.IntN(100), w.random.IntN(1<<30)
	pause(ctx, rand.N(longestPause))
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if what < 20 {
		if theirs := w.contested(foreign); theirs != nil {
			w.model.did("our write of theirs")
			return w.write(ctx, theirs, what%2 == 0)
		}
	}
	e.mu.Lock()
	present := e.present
	e.mu.Unlock()
	switch {
	case present != there:
		w.model.did("our creation")
		return w.create(ctx, e)
	case what < 85:
		w.model.did("our write")
		return w.write(ctx, e, what%2 == 0)
	case what < 90:
		w.model.did("our read")
		return w.read(ctx, e)
	default:
		w.model.did("our deletion")
		return w.remove(ctx, e)
	}
}

// contested returns one of the entries that were born upstream and whose prompt
// this writer alone writes; nil if there is none.
func (w *ours) contested(choice int) *entry {
	var candidates []*entry
	for _, e := range w.model.snapshot() {
		e.mu.Lock()
		if e.name == "" && e.contested && e.present == there && e.number%ourWriters == w.number {
			candidates = append(candidates, e)
		}
		e.mu.Unlock()
	}
	if len(candidates) == 0 {
		return nil
	}
	return candidates[choice%len(candidates)]
}

// errNotTried says that a write was not tried, because the read before it failed.
var errNotTried = errors.New("not tried")

// refused tells that nothing was written: the answer says so. A conflict does not:
// the client repeats what was answered with 503, and the first try may be what the
// second one conflicts with.
func refused(err error) bool {
	return errors.Is(err, errNotTried) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || apierrors.IsForbidden(err)
}

// unexpected returns an error that no fault explains.
func unexpected(err error) error {
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsMethodNotSupported(err) || apierrors.IsUnauthorized(err) {
		return err
	}
	return nil
}

func (e *entry) nextPrompt() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sequence++
	return fmt.Sprintf("prompt %06d", e.sequence)
}

// wrote records what became of a prompt.
func (e *entry) wrote(prompt string, during span, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err == nil:
		e.prompts = map[string]bool{prompt: true}
		e.before, e.ours = e.ours, during
	case !refused(err):
		e.prompts[prompt] = true
		e.tainted = true
	}
}

func (w *ours) create(ctx context.Context, e *entry) error {
	prompt := e.nextPrompt()
	from := time.Now()
	created, err := w.sessions.Create(ctx, &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Name: e.name}, Spec: v1alpha1.SessionSpec{Prompt: prompt},
	}, metav1.CreateOptions{})
	e.wrote(prompt, span{from, time.Now()}, err)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err == nil:
		e.present, e.id, e.tainted = there, created.Status.SessionID, false
		w.model.identify(e, e.id)
	case apierrors.IsAlreadyExists(err):
		// Made by an earlier request whose answer got lost, or revived.
		if e.present == absent && !e.mayRevive() {
			w.model.broken("%s: a creation was refused although the session had been deleted or never made: %v", e.name, err)
		}
		return w.adopt(ctx, e)
	default:
		e.present = unknown
	}
	return unexpected(err)
}

// mayRevive tells whether a racing write may have revived a deleted row. The
// caller holds the lock.
func (e *entry) mayRevive() bool {
	for _, gone := range e.removed {
		for _, theirs := range e.theirs {
			if theirs.overlaps(gone.at) {
				return true
			}
		}
	}
	return false
}

// adopt learns of a session that is there after all. The caller holds the lock.
func (w *ours) adopt(ctx context.Context, e *entry) error {
	found, err := w.sessions.Get(ctx, e.name, metav1.GetOptions{})
	if err != nil {
		return unexpected(err)
	}
	e.present, e.id, e.tainted = there, found.Status.SessionID, true
	e.prompts[found.Spec.Prompt] = true
	w.model.identify(e, e.id)
	return nil
}

// write changes the prompt, by a patch or by an update of what was read.
func (w *ours) write(ctx context.Context, e *entry, patch bool) error {
	prompt := e.nextPrompt()
	name := e.objectName()
	from := time.Now()
	var err error
	if patch {
		body := fmt.Appendf(nil, `{"spec":{"prompt":%q}}`, prompt)
		_, err = w.sessions.Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{})
	} else {
		err = w.update(ctx, name, prompt)
	}
	e.wrote(prompt, span{from, time.Now()}, err)
	if apierrors.IsNotFound(err) {
		e.missing(w.model, "a write")
	}
	if err == nil && !e.contested {
		return w.read(ctx, e)
	}
	return unexpected(err)
}

func (w *ours) update(ctx context.Context, name, prompt string) error {
	session, err := w.sessions.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("%w: %w", errNotTried, err)
	}
	session.Spec.Prompt = prompt
	_, err = w.sessions.Update(ctx, session, metav1.UpdateOptions{})
	return err
}

// missing draws the conclusion from a 404.
func (e *entry) missing(m *model, what string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.name == "" {
		// It may be too new for us.
		return
	}
	if e.present == there && !m.isDoomed(e.id) {
		m.broken("%s (%s): %s was answered with NotFound, and nobody deleted it", e.name, e.id, what)
	}
	e.present = absent
}

// read proves that what was written can be read at once.
func (w *ours) read(ctx context.Context, e *entry) error {
	e.mu.Lock()
	private := !e.contested
	e.mu.Unlock()
	session, err := w.sessions.Get(ctx, e.objectName(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		e.missing(w.model, "a read")
		return nil
	case err != nil:
		return unexpected(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if private && e.present == there && !e.prompts[session.Spec.Prompt] {
		w.model.broken("%s: read %q after %v was written", e.name, session.Spec.Prompt, e.prompts)
	}
	return nil
}

func (w *ours) remove(ctx context.Context, e *entry) error {
	e.mu.Lock()
	id := e.id
	e.mu.Unlock()
	w.model.doom(id)
	from := time.Now()
	err := w.sessions.Delete(ctx, e.objectName(), metav1.DeleteOptions{})
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err == nil:
		e.present = absent
		e.removed = append(e.removed, removal{id, span{from, time.Now()}})
	case apierrors.IsNotFound(err):
		e.present = absent
	case !refused(err):
		e.present = unknown
	}
	return unexpected(err)
}
