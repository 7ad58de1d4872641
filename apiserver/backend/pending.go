package backend

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// outcomePatience bounds how long a request whose outcome is unknown waits for
// the listing that tells, if it has not less time itself.
const outcomePatience = 10 * time.Second

// newToken returns a token that marks one attempt to create a row.
func newToken() string { return uuid.NewString() }

// pendingCreates remembers creations whose outcome is unknown. Their names stay
// reserved until a complete listing that began afterwards has told.
type pendingCreates struct {
	mu sync.Mutex
	// byKey tells by storage key when the outcome was found to be unknown.
	byKey map[string]time.Time
}

func newPendingCreates() *pendingCreates { return &pendingCreates{byKey: map[string]time.Time{}} }

// add remembers the creation and returns the time after which a listing tells.
func (p *pendingCreates) add(key string) (since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	since = time.Now()
	p.byKey[key] = since
	return since
}

// settle tells whether the outcome of an earlier creation at key is known, given
// when the last complete listing began.
func (p *pendingCreates) settle(key string, listed time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	since, found := p.byKey[key]
	if found && !listed.After(since) {
		return false
	}
	delete(p.byKey, key)
	return true
}

// unknownOutcome returns the failure of a creation that may have taken place all the
// same. Where the name was generated it names no time to retry after: clients obey
// that without asking anybody, and their next try bears another name, for which
// nothing is reserved.
func unknownOutcome(failure error, resource schema.GroupResource, object metav1.Object) error {
	var refused *apierrors.StatusError
	if object.GetGenerateName() == "" || !errors.As(failure, &refused) {
		return failure
	}
	told := refused.ErrStatus.DeepCopy()
	if told.Details != nil {
		told.Details.RetryAfterSeconds = 0
	}
	look := fmt.Sprintf("kubectl get %s %s", resource, object.GetName())
	if namespace := object.GetNamespace(); namespace != "" {
		look += " --namespace=" + namespace
	}
	told.Message += fmt.Sprintf("; whether %q, the generated name, was created is not known yet, and another try would get another name: look first (%s)", object.GetName(), look)
	return &apierrors.StatusError{ErrStatus: *told}
}
