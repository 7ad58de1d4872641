package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	ambientfake "github.com/ambient-code/ambient-kube/apiserver/client/versioned/fake"
)

// crowd asks a handler many things at a time.
type crowd struct {
	handler http.Handler
	asking  sync.WaitGroup
	// arrived gets one for each question that is being dealt with, and leave lets them
	// all go on.
	arrived chan struct{}
	leave   chan struct{}
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	projects := ambientfake.NewSimpleClientset(&v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: "payments"}})
	return &crowd{
		handler: newHandler(Options{Projects: projects, Registry: prometheus.NewRegistry()}),
		arrived: make(chan struct{}), leave: make(chan struct{}),
	}
}

// ask returns the code of the answer.
func (c *crowd) ask(path string, body io.Reader) int {
	answer := httptest.NewRecorder()
	c.handler.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, path, body))
	return answer.Code
}

// fill asks as many times as there are places, and waits until each is being dealt
// with, and goes no further.
func (c *crowd) fill(ask func() int) error {
	early := make(chan int, mostReviews)
	for range mostReviews {
		c.asking.Go(func() { early <- ask() })
	}
	for range mostReviews {
		select {
		case <-c.arrived:
		case code := <-early:
			return fmt.Errorf("a question is answered with %d, which ought to take its time", code)
		}
	}
	return nil
}

// stay tells that a question is being dealt with, and goes no further.
func (c *crowd) stay() {
	select {
	case c.arrived <- struct{}{}:
	case <-c.leave:
	}
	<-c.leave
}

// disperse lets all questions go on to their ends.
func (c *crowd) disperse() {
	close(c.leave)
	c.asking.Wait()
}

// slow is a body that begins, and ends when the crowd is let go.
type slow struct {
	*crowd
	begun bool
}

// Read implements io.Reader.
func (s *slow) Read(into []byte) (int, error) {
	if !s.begun {
		s.begun = true
		return copy(into, `{"request":`), nil
	}
	s.stay()
	return 0, io.ErrUnexpectedEOF
}

// idle is an answer that is not taken until the crowd is let go.
type idle struct {
	*httptest.ResponseRecorder
	*crowd
}

// Write implements http.ResponseWriter.
func (i idle) Write(data []byte) (int, error) {
	i.stay()
	return i.ResponseRecorder.Write(data)
}

// deletion is a question whether a project's namespace may be deleted.
func deletion() io.Reader {
	return bytes.NewReader(fmt.Appendf(nil, `{"request":{"uid":"1","operation":"DELETE","oldObject":%s}}`,
		namespace(`"ambient-code.io/project-id":"payments"`, "").Raw))
}

// edit is a question whether an AgenticSession may be changed.
func edit() io.Reader {
	return bytes.NewReader(fmt.Appendf(nil, `{"request":{"uid":"1","operation":"UPDATE","oldObject":%s,"object":%s}}`, agenticSession("a").Raw, agenticSession("b").Raw))
}

// Whoever reaches the port can begin to ask, and take his time.
func TestSlowQuestionsKeepNobodyOut(t *testing.T) {
	c := newCrowd(t)
	defer c.disperse()
	for path, question := range map[string]func() io.Reader{NamespacesPath: deletion, AgenticSessionsPath: edit} {
		if err := c.fill(func() int { return c.ask(path, &slow{crowd: c}) }); err != nil {
			t.Fatal(err)
		}
		if code := c.ask(path, question()); code != http.StatusOK {
			t.Errorf("beside %d slow questions, one to %s is answered with %d", mostReviews, path, code)
		}
	}
}

// The namespaces' fails closed, the other doesn't.
func TestOneWebhookTakesNoPlaceFromTheOther(t *testing.T) {
	c := newCrowd(t)
	defer c.disperse()
	if err := c.fill(func() int {
		answer := idle{httptest.NewRecorder(), c}
		c.handler.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, NamespacesPath, deletion()))
		return answer.Code
	}); err != nil {
		t.Fatal(err)
	}
	if code := c.ask(NamespacesPath, deletion()); code != http.StatusServiceUnavailable {
		t.Errorf("with no place left, a question is answered with %d", code)
	}
	if code := c.ask(AgenticSessionsPath, edit()); code != http.StatusOK {
		t.Errorf("the other webhook answers with %d", code)
	}
}

func TestWhatIsHeldOfQuestionsIsBounded(t *testing.T) {
	i := &intake{most: 10}
	_, releaseFirst, err := i.read(strings.NewReader("123456"))
	if err != nil {
		t.Fatal(err)
	}
	_, releaseSecond, err := i.read(strings.NewReader("12345"))
	if !errors.Is(err, errTooMuch) || codeOf(err) != http.StatusServiceUnavailable {
		t.Errorf("the second question ends with %v", err)
	}
	releaseFirst()
	releaseSecond()
	data, release, err := i.read(strings.NewReader("1234567890"))
	if err != nil || string(data) != "1234567890" {
		t.Errorf("when the others are gone, %q is read, and %v", data, err)
	}
	release()
	if held := i.held.Load(); held != 0 {
		t.Errorf("%d bytes are held for ever", held)
	}
}
