package fault

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
)

// Duration is a time.Duration that is written as text, such as "1.5s", in JSON.
type Duration time.Duration

// MarshalText writes the duration as Go does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads a duration such as "1.5s".
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("reading a duration: %w", err)
	}
	*d = Duration(parsed)
	return nil
}

// Settings says which faults happen. The zero value is a server without faults
// beyond those that the real one always has. "One in n" counts, it does not
// throw dice: every n-th goes wrong, and 0 means none.
type Settings struct {
	// Silent delivers no event to anybody; the streams stay open.
	Silent bool `json:"silent,omitempty"`
	// DropEventOneIn loses every n-th event.
	DropEventOneIn int `json:"dropEventOneIn,omitempty"`
	// DuplicateEventOneIn delivers every n-th event twice.
	DuplicateEventOneIn int `json:"duplicateEventOneIn,omitempty"`
	// ReorderEventOneIn delivers every n-th event after the one that follows it,
	// if one follows at once.
	ReorderEventOneIn int `json:"reorderEventOneIn,omitempty"`
	// EventDelay is the least time from the write to the delivery of its event.
	EventDelay Duration `json:"eventDelay,omitempty"`
	// EventsPerSecond limits how many events leave the queue; the real server
	// manages 2 to 35 under load.
	EventsPerSecond float64 `json:"eventsPerSecond,omitempty"`
	// MessageDelay holds a watch message back after its row was read, so that it
	// arrives with an old state. The messages behind it on the stream wait.
	MessageDelay Duration `json:"messageDelay,omitempty"`
	// MessageDelayOneIn restricts MessageDelay to every n-th message; 0 means all.
	MessageDelayOneIn int `json:"messageDelayOneIn,omitempty"`

	// Methods restricts the following four to these methods, such as
	// UpdateSession; empty means all unary methods of the three services.
	Methods []string `json:"methods,omitempty"`
	// CallDelay makes a call wait, holding its database connection, before it
	// does anything.
	CallDelay Duration `json:"callDelay,omitempty"`
	// FailOneIn refuses every n-th call with FailCode before it does anything.
	FailOneIn int `json:"failOneIn,omitempty"`
	// FailCode is the name of a gRPC code, such as Internal; empty is Unavailable.
	FailCode string `json:"failCode,omitempty"`
	// LoseReplyOneIn does the work of every n-th call and then answers
	// Unavailable, as a connection that is cut after the commit.
	LoseReplyOneIn int `json:"loseReplyOneIn,omitempty"`

	// UpdateWindow is the time between reading and saving a row in Update calls;
	// StatusWindow the same in UpdateSessionStatus. Another write in that time is
	// lost, and a deletion undone.
	UpdateWindow Duration `json:"updateWindow,omitempty"`
	StatusWindow Duration `json:"statusWindow,omitempty"`
	// ShufflePages lists the rows in another order for every page.
	ShufflePages bool `json:"shufflePages,omitempty"`
	// LoseRights treats every caller as one without rights: empty listings, and
	// silence on streams opened from now on.
	LoseRights bool `json:"loseRights,omitempty"`
	// ClockStep is added to the server's clock; it may be negative.
	ClockStep Duration `json:"clockStep,omitempty"`
	// OversizeBytes makes every page of a listing larger by this many bytes,
	// without changing its content.
	OversizeBytes int `json:"oversizeBytes,omitempty"`
}

func (s *Settings) validate() error {
	var errs []error
	for name, value := range map[string]int{
		"dropEventOneIn": s.DropEventOneIn, "duplicateEventOneIn": s.DuplicateEventOneIn,
		"reorderEventOneIn": s.ReorderEventOneIn, "messageDelayOneIn": s.MessageDelayOneIn,
		"failOneIn": s.FailOneIn, "loseReplyOneIn": s.LoseReplyOneIn, "oversizeBytes": s.OversizeBytes,
	} {
		if value < 0 {
			errs = append(errs, fmt.Errorf("%s must not be negative", name))
		}
	}
	if s.EventsPerSecond < 0 {
		errs = append(errs, errors.New("eventsPerSecond must not be negative"))
	}
	if _, err := s.failCode(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *Settings) failCode() (codes.Code, error) {
	if s.FailCode == "" {
		return codes.Unavailable, nil
	}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		if code.String() == s.FailCode {
			return code, nil
		}
	}
	return codes.OK, fmt.Errorf("failCode %q is not the name of a gRPC error code such as %s", s.FailCode, codes.Unavailable)
}
