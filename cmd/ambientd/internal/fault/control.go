package fault

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Actions are the faults that happen once, at the moment they are asked for.
type Actions struct {
	// Cut closes every connection without a word.
	Cut func()
	// EndStreams ends every watch stream cleanly (EOF, status OK).
	EndStreams func()
	// GoAway asks every client to open a new connection; open streams stay.
	GoAway func()
	// Kill ends the process at once, as a crash does.
	Kill func()
	// SetToken changes the static token.
	SetToken func(token string)
	// EventCounts returns the events published and the deliveries dropped.
	EventCounts func() (published, dropped int64)
}

// Counters is what GET /counters answers.
type Counters struct {
	// Calls is the number of calls of each method since the start.
	Calls map[string]int64 `json:"calls"`
	// EventsPublished is the number of events that left the queue.
	EventsPublished int64 `json:"eventsPublished"`
	// EventsDropped is the number of deliveries to single subscribers that were
	// dropped because the subscriber was full.
	EventsDropped int64 `json:"eventsDropped"`
}

// maximumBody is the size limit of a request to the control interface, in bytes.
const maximumBody = 1 << 20

// Handler serves the control interface:
//
//	GET, PUT, DELETE /faults          read, replace, reset the Settings (JSON)
//	POST /actions/{cut|eof|goaway|kill}
//	PUT /token                        {"token": "..."}
//	GET /counters                     the Counters
//
// It has no authentication: serve it on a loopback address only.
func (f *Faults) Handler(actions Actions) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { reply(w, f.Settings()) })
	mux.HandleFunc("PUT /faults", func(w http.ResponseWriter, r *http.Request) {
		var settings Settings
		if !read(w, r, &settings) {
			return
		}
		if err := settings.validate(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		f.Set(settings)
		reply(w, settings)
	})
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		f.Set(Settings{})
		reply(w, f.Settings())
	})
	for name, action := range map[string]func(){
		"cut": actions.Cut, "eof": actions.EndStreams, "goaway": actions.GoAway, "kill": actions.Kill,
	} {
		mux.HandleFunc("POST /actions/"+name, func(w http.ResponseWriter, _ *http.Request) {
			action()
			w.WriteHeader(http.StatusNoContent)
		})
	}
	mux.HandleFunc("PUT /token", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Token string `json:"token"`
		}
		if !read(w, r, &body) {
			return
		}
		actions.SetToken(body.Token)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /counters", func(w http.ResponseWriter, _ *http.Request) {
		published, dropped := actions.EventCounts()
		reply(w, Counters{Calls: f.Calls(), EventsPublished: published, EventsDropped: dropped})
	})
	return mux
}

func read[T any](w http.ResponseWriter, r *http.Request, into *T) bool {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maximumBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		http.Error(w, fmt.Sprintf("decoding the request: %v", err), http.StatusBadRequest)
		return false
	}
	return true
}

func reply[T any](w http.ResponseWriter, body T) {
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, fmt.Sprintf("encoding the answer: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n')) // a client that went away needs no answer
}
