package backend

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// newToken returns a token that marks one attempt to create a row.
func newToken() string { return uuid.NewString() }

// pendingCreates remembers creations whose outcome is unknown. Their names stay
// reserved until a complete listing that began afterwards has told.
type pendingCreates struct {
	mu    sync.Mutex
	byKey map[string]pendingCreate
}

type pendingCreate struct {
	token string
	since time.Time
}

func newPendingCreates() *pendingCreates { return &pendingCreates{byKey: map[string]pendingCreate{}} }

func (p *pendingCreates) add(key, token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byKey[key] = pendingCreate{token: token, since: time.Now()}
}

// settle tells whether the outcome of an earlier creation at key is known, given
// when the last complete listing began.
func (p *pendingCreates) settle(key string, listed time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	create, found := p.byKey[key]
	if found && !listed.After(create.since) {
		return false
	}
	delete(p.byKey, key)
	return true
}
