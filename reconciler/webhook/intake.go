package webhook

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// mostIncoming bounds what the reviews of one webhook hold in memory, from the first
// byte of each until it is answered. Those of a busy cluster need a hundredth of it.
const mostIncoming = 4 * largestReview

var errTooMuch = errors.New("too much is asked at a time")

// intake reads reviews. Anybody may send one slowly, or never get to its end: what
// counts is how much all of them hold, and not how many they are.
type intake struct {
	most int64
	held atomic.Int64
}

// read returns all that a review says. The caller releases it, in any case, when it is
// done with it.
func (i *intake) read(body io.Reader) (data []byte, release func(), err error) {
	counted := &counted{from: body, intake: i}
	data, err = io.ReadAll(counted)
	if err != nil {
		err = fmt.Errorf("reading a review: %w", err)
	}
	return data, func() { i.held.Add(-counted.taken) }, err
}

// counted is a reader that counts what it has read as held.
type counted struct {
	from   io.Reader
	intake *intake
	taken  int64
}

// Read implements io.Reader.
func (c *counted) Read(into []byte) (int, error) {
	n, err := c.from.Read(into)
	c.taken += int64(n)
	if c.intake.held.Add(int64(n)) > c.intake.most {
		return n, errTooMuch
	}
	return n, err //nolint:wrapcheck // the end of a body is known by this very error
}
