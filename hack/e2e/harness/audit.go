package harness

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// Requests returns what a user has asked of kube-apiserver's resources, from its audit
// log.
func Requests(t testing.TB, log, user string) []*auditv1.Event {
	t.Helper()
	content, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var events []*auditv1.Event
	// What is being written just now has no end of line yet.
	for line := range bytes.Lines(content[:bytes.LastIndexByte(content, '\n')+1]) {
		var event auditv1.Event
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if event.User.Username == user && event.ObjectRef != nil && event.ObjectRef.Resource != "" {
			events = append(events, &event)
		}
	}
	return events
}
