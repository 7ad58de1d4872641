package translate

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// seconds brings a time to the precision of the API, so that an object does not
// change by being written out and read again.
func seconds(t time.Time) *metav1.Time {
	rounded := metav1.Unix(t.Unix(), 0)
	return &rounded
}

// showable brings a time to the precision of the API; false when it cannot be shown.
// The zero time is an absent one, as it is to Kubernetes.
func showable(t time.Time) (*metav1.Time, bool) {
	if !v1alpha1.CanShow(t) {
		return nil, false
	}
	shown := seconds(t)
	if shown.IsZero() {
		return nil, true
	}
	return shown, true
}

// readTime returns the time of a column; nil when it is absent or cannot be shown.
func readTime(column string, t *timestamppb.Timestamp, p *problems) *metav1.Time {
	if t == nil {
		return nil
	}
	if !t.IsValid() {
		p.add(ReasonInvalidValues, column+" is not a time that can be shown")
		return nil
	}
	shown, _ := showable(t.AsTime())
	return shown
}

// decodeTime reads a time in RFC 3339; the empty string is an absent one.
func decodeTime(raw string) (*metav1.Time, bool) {
	text, ok := decodeString(raw)
	if !ok || text == "" {
		return nil, ok
	}
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, false
	}
	return showable(parsed)
}

func encodeTime(t *metav1.Time) string {
	if t.IsZero() {
		return ""
	}
	return `"` + t.UTC().Format(time.RFC3339) + `"`
}
