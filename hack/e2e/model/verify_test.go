package model

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

const (
	// repairWindow is how long after a write of ours a repair may come, with some
	// time for the repair itself.
	repairWindow = 12 * time.Second
	// repairedDeletions is how many revived rows are deleted again in a minute.
	repairedDeletions = 10
	// quiet is how long everybody may need to catch up: client-go pauses for up to a
	// minute between attempts when an API server was down for long.
	quiet = 2 * time.Minute
)

// verify waits until all is quiet and compares all sides.
func (m *model) verify(t *testing.T, l *lookers) {
	t.Helper()
	stand.Upstream.Heal(t)
	var rows []*ambientv1.Session
	harness.Within(t, quiet, "all sides agree", func() error {
		rows = stand.Upstream.SessionsIn(t, m.project)
		if err := m.agree(t, rows, l); err != nil {
			return err
		}
		return m.entryFaults(rows, func(string) {})
	})
	// Nothing is wrong any more; what is excused is counted.
	if err := m.entryFaults(rows, func(exception string) { m.note("exception: " + exception) }); err != nil {
		t.Error(err)
	}
	for range rows {
		m.note("rows in the end")
	}
}

// agree compares the upstream with a list, and the list with all who look on.
func (m *model) agree(t *testing.T, rows []*ambientv1.Session, l *lookers) error {
	t.Helper()
	list, err := stand.Ambient.AmbientV1alpha1().Sessions(m.project).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing: %w", err)
	}
	upstream, listed, byUID := map[string]string{}, map[string]string{}, map[types.UID]string{}
	for _, row := range rows {
		upstream[row.GetMetadata().GetId()] = describeRow(row)
	}
	for i := range list.Items {
		session := &list.Items[i]
		listed[session.Status.SessionID] = content(session)
		byUID[session.UID] = describe(session)
	}
	if err := difference("the list", listed, upstream); err != nil {
		return err
	}
	for _, v := range l.views {
		if err := v.difference(byUID); err != nil {
			return err
		}
	}
	return nil
}

// describeRow is what content tells of the object.
func describeRow(row *ambientv1.Session) string {
	return strings.Join([]string{
		row.GetMetadata().GetId(), row.GetProjectId(), row.GetName(), row.GetPrompt(), row.GetRepoUrl(), row.GetPhase(), row.GetSdkSessionId(),
	}, " | ")
}

// entryFaults names the promises about single sessions that do not hold now, and
// tells excuse of the exceptions that docs/guarantees.md names.
func (m *model) entryFaults(rows []*ambientv1.Session, excuse func(exception string)) error {
	byID := map[string]*ambientv1.Session{}
	for _, row := range rows {
		byID[row.GetMetadata().GetId()] = row
	}
	racedDeletions := 0
	for _, e := range m.snapshot() {
		for _, gone := range e.removed {
			if len(e.raced(gone.at)) > 0 {
				racedDeletions++
			}
		}
	}
	var faults []error
	for _, e := range m.snapshot() {
		faults = append(faults, m.lostWrite(e, byID[e.id], excuse), m.lostDeletion(e, byID, racedDeletions, excuse))
	}
	return errors.Join(faults...)
}

// raced returns the writes of the other side that were under way meanwhile.
func (e *entry) raced(during span) []span {
	var raced []span
	for _, theirs := range e.theirs {
		if theirs.overlaps(during) {
			raced = append(raced, theirs)
		}
	}
	return raced
}

// lostWrite returns an error if an acknowledged write does not stand, unless that
// is one of the exceptions of docs/guarantees.md.
func (m *model) lostWrite(e *entry, row *ambientv1.Session, excuse func(string)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.present != there || e.id == "" || m.isDoomed(e.id) {
		return nil
	}
	if row == nil {
		return fmt.Errorf("%s (%s) is gone, and nobody deleted it", e.objectName(), e.id)
	}
	if e.prompts[row.GetPrompt()] {
		return nil
	}
	raced := e.raced(e.ours)
	lost := fmt.Errorf("%s (%s) holds %q, want one of %v; %d writes of the other side raced ours", e.objectName(), e.id, row.GetPrompt(), e.prompts, len(raced))
	if len(raced) == 0 {
		return lost
	}
	for _, theirs := range raced {
		// One save that spans two of our writes brings back the state before both.
		if theirs.overlaps(e.before) {
			excuse("lost to a save that spanned two of our writes")
			return nil
		}
	}
	if m.wasDisturbed(span{e.ours.from, e.ours.to.Add(repairWindow)}) {
		excuse("lost, and not repaired, while calls failed")
		return nil
	}
	return lost
}

// lostDeletion returns an error if a session that was deleted at our wish is
// there, unless that is one of the exceptions.
func (m *model) lostDeletion(e *entry, byID map[string]*ambientv1.Session, raced int, excuse func(string)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, gone := range e.removed {
		if byID[gone.id] == nil || e.present == there && e.id == gone.id {
			continue
		}
		switch {
		case len(e.raced(gone.at)) == 0:
			return fmt.Errorf("%s (%s) was deleted, no write raced that, and it is there", e.name, gone.id)
		case m.wasDisturbed(span{gone.at.from, gone.at.to.Add(repairWindow)}):
			excuse("revived while calls failed")
		case raced > repairedDeletions:
			excuse("revived, beyond ten a minute")
		default:
			excuse("revived by a save of more than its status")
		}
	}
	return nil
}
