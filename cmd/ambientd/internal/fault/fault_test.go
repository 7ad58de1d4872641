package fault

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/events"
)

// pass sends events 1 to n through the faults and returns what comes out.
func pass(t *testing.T, faults *Faults, n int) string {
	t.Helper()
	var passed []string
	for i := range n {
		for _, event := range faults.Pass(t.Context(), events.Event{ID: string(rune('1' + i)), At: time.Now()}) {
			passed = append(passed, event.ID)
		}
	}
	for _, event := range faults.Flush() {
		passed = append(passed, event.ID)
	}
	return strings.Join(passed, "")
}

func TestFaultsOfEvents(t *testing.T) {
	for _, test := range []struct {
		name     string
		settings Settings
		want     string
	}{
		{"none", Settings{}, "123456"},
		{"silence", Settings{Silent: true}, ""},
		{"every third is dropped", Settings{DropEventOneIn: 3}, "1245"},
		{"every second is doubled", Settings{DuplicateEventOneIn: 2}, "122344566"},
		{"every second comes after the next", Settings{ReorderEventOneIn: 2}, "132546"},
		{"every one comes after the next", Settings{ReorderEventOneIn: 1}, "214365"},
	} {
		t.Run(test.name, func(t *testing.T) {
			faults := New()
			faults.Set(test.settings)
			if got := pass(t, faults, 6); got != test.want {
				t.Errorf("passed %s, want %s", got, test.want)
			}
		})
	}
}

func TestDelayedEventsDoNotAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := New()
		faults.Set(Settings{EventDelay: Duration(100 * time.Millisecond)})
		began := time.Now()
		for range 20 {
			faults.Pass(t.Context(), events.Event{At: began})
		}
		if took := time.Since(began); took != 100*time.Millisecond {
			t.Errorf("20 events of one moment took %s", took)
		}
	})
}

func TestEventsPerSecondLimitTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := New()
		faults.Set(Settings{EventsPerSecond: 100})
		began := time.Now()
		pass(t, faults, 6)
		if took := time.Since(began); took != 50*time.Millisecond {
			t.Errorf("6 events at 100 a second took %s", took)
		}
	})
}

func TestWaitsEndWhenTheFaultEnds(t *testing.T) {
	faults := New()
	faults.Set(Settings{UpdateWindow: Duration(time.Hour)})
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		faults.BeforeUpdate(t.Context())
	}()
	select {
	case <-waited:
		t.Fatal("an hour passed at once")
	case <-time.After(50 * time.Millisecond):
	}
	faults.Set(Settings{})
	select {
	case <-waited:
	case <-time.After(10 * time.Second):
		t.Error("the wait goes on although the fault ended")
	}
}

// call makes one unary call through the interceptor and tells whether its work was
// done.
func call(t *testing.T, faults *Faults, method string) (worked bool, err error) {
	t.Helper()
	_, err = faults.UnaryInterceptor(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: method},
		func(context.Context, any) (any, error) { worked = true; return "done", nil })
	return worked, err
}

func TestFaultsOfCalls(t *testing.T) {
	const update, health = "/ambient.v1.SessionService/UpdateSession", "/grpc.health.v1.Health/Check"
	for _, test := range []struct {
		name     string
		settings Settings
		method   string
		worked   bool
		code     codes.Code
	}{
		{"none", Settings{}, update, true, codes.OK},
		{"a failing call does no work", Settings{FailOneIn: 1}, update, false, codes.Unavailable},
		{"a failing call has the chosen code", Settings{FailOneIn: 1, FailCode: "Internal"}, update, false, codes.Internal},
		{"a lost reply comes after the work", Settings{LoseReplyOneIn: 1}, update, true, codes.Unavailable},
		{"other methods are spared", Settings{FailOneIn: 1, Methods: []string{"GetSession"}}, update, true, codes.OK},
		{"named methods are not", Settings{FailOneIn: 1, Methods: []string{"UpdateSession"}}, update, false, codes.Unavailable},
		{"health is spared", Settings{FailOneIn: 1}, health, true, codes.OK},
	} {
		t.Run(test.name, func(t *testing.T) {
			faults := New()
			faults.Set(test.settings)
			worked, err := call(t, faults, test.method)
			if worked != test.worked || status.Code(err) != test.code {
				t.Errorf("worked = %t, error = %v", worked, err)
			}
		})
	}
}

func TestOneInNCountsCalls(t *testing.T) {
	faults := New()
	faults.Set(Settings{FailOneIn: 3})
	var failed []int
	for i := range 9 {
		if _, err := call(t, faults, "/ambient.v1.SessionService/GetSession"); err != nil {
			failed = append(failed, i+1)
		}
	}
	if !slices.Equal(failed, []int{3, 6, 9}) {
		t.Errorf("the calls %v failed", failed)
	}
	if got := faults.Calls()["GetSession"]; got != 9 {
		t.Errorf("%d calls were counted", got)
	}
}

func TestClockStepMovesTheClock(t *testing.T) {
	faults := New()
	faults.Set(Settings{ClockStep: Duration(-24 * time.Hour)})
	if off := time.Since(faults.Now()) - 24*time.Hour; off.Abs() > time.Minute {
		t.Errorf("the clock is off by %s", off)
	}
}

func TestControlInterface(t *testing.T) {
	faults := New()
	var acted []string
	act := func(name string) func() { return func() { acted = append(acted, name) } }
	handler := faults.Handler(Actions{
		Cut: act("cut"), EndStreams: act("eof"), GoAway: act("goaway"), Kill: act("kill"),
		SetToken:    func(token string) { acted = append(acted, "token "+token) },
		EventCounts: func() (int64, int64) { return 7, 3 },
	})
	for _, test := range []struct {
		name, method, path, body string
		code                     int
		answer                   string
	}{
		{"settings are replaced", http.MethodPut, "/faults", `{"eventDelay":"1.5s","dropEventOneIn":4}`, http.StatusOK, `{"dropEventOneIn":4,"eventDelay":"1.5s"}`},
		{"and can be read", http.MethodGet, "/faults", "", http.StatusOK, `"eventDelay":"1.5s"`},
		{"an unknown fault is refused", http.MethodPut, "/faults", `{"eventDelai":"1s"}`, http.StatusBadRequest, `unknown field "eventDelai"`},
		{"a wrong duration is refused", http.MethodPut, "/faults", `{"eventDelay":"soon"}`, http.StatusBadRequest, `invalid duration`},
		{"a negative number is refused", http.MethodPut, "/faults", `{"dropEventOneIn":-1}`, http.StatusBadRequest, `dropEventOneIn must not be negative`},
		{"an unknown code is refused", http.MethodPut, "/faults", `{"failCode":"Sick"}`, http.StatusBadRequest, `failCode "Sick"`},
		{"what was refused changed nothing", http.MethodGet, "/faults", "", http.StatusOK, `{"dropEventOneIn":4,"eventDelay":"1.5s"}`},
		{"settings are reset", http.MethodDelete, "/faults", "", http.StatusOK, `{}`},
		{"cut", http.MethodPost, "/actions/cut", "", http.StatusNoContent, ""},
		{"eof", http.MethodPost, "/actions/eof", "", http.StatusNoContent, ""},
		{"goaway", http.MethodPost, "/actions/goaway", "", http.StatusNoContent, ""},
		{"kill", http.MethodPost, "/actions/kill", "", http.StatusNoContent, ""},
		{"an unknown action is not found", http.MethodPost, "/actions/sing", "", http.StatusNotFound, ""},
		{"an action is not read", http.MethodGet, "/actions/cut", "", http.StatusMethodNotAllowed, ""},
		{"the token changes", http.MethodPut, "/token", `{"token":"new"}`, http.StatusNoContent, ""},
		{"counters", http.MethodGet, "/counters", "", http.StatusOK, `{"calls":{},"eventsPublished":7,"eventsDropped":3}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, httptest.NewRequest(test.method, test.path, strings.NewReader(test.body)))
			if recorder.Code != test.code || !strings.Contains(recorder.Body.String(), test.answer) {
				t.Errorf("code = %d, answer = %s", recorder.Code, recorder.Body)
			}
		})
	}
	if want := []string{"cut", "eof", "goaway", "kill", "token new"}; !slices.Equal(acted, want) {
		t.Errorf("acted %v, want %v", acted, want)
	}
}

func TestSettingsSurviveJSON(t *testing.T) {
	want := Settings{MessageDelay: Duration(5 * time.Second), MessageDelayOneIn: 2, ShufflePages: true, OversizeBytes: 9}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Settings
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.MessageDelay != want.MessageDelay || got.MessageDelayOneIn != 2 || !got.ShufflePages || got.OversizeBytes != 9 {
		t.Errorf("%s became %+v", text, got)
	}
}
