package bitcointest

import (
	"bytes"
	"embed"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Exchanges with a real Bitcoin Core. testdata/core/README.md says which version, and how they
// were recorded.
//
//go:embed testdata/core/*.json
var recorded embed.FS

// Recorded is one exchange with a real Bitcoin Core, as it went over the wire.
type Recorded struct {
	Case        string          `json:"case"`
	RequestLine string          `json:"request_line"`
	Request     json.RawMessage `json:"request"` // a string if it was not JSON
	Status      int             `json:"status"`
	Response    string          `json:"response"`
}

// AllRecorded returns every exchange, sorted by name.
func AllRecorded(tb testing.TB) (all []Recorded) {
	tb.Helper()
	names, err := fs.Glob(recorded, "testdata/core/*.json")
	require.NoError(tb, err)
	for _, name := range names {
		text, err := recorded.ReadFile(name)
		require.NoError(tb, err)
		var r Recorded
		require.NoError(tb, json.Unmarshal(text, &r), name)
		all = append(all, r)
	}
	return all
}

// OneRecorded returns the exchange with that name.
func OneRecorded(tb testing.TB, name string) Recorded {
	tb.Helper()
	for _, r := range AllRecorded(tb) {
		if r.Case == name {
			return r
		}
	}
	tb.Fatalf("no exchange %s was recorded", name)
	return Recorded{}
}

// RecordedCall is a call of a recorded request.
type RecordedCall struct {
	Method string `json:"method"`
	Params []any  `json:"params"` // numbers are float64
}

// Calls returns the calls of the request, none if it was not JSON. batch reports whether they
// were a batch.
func (r Recorded) Calls() (calls []RecordedCall, batch bool) {
	var one RecordedCall
	if json.Unmarshal(r.Request, &calls) == nil {
		return calls, true
	}
	if json.Unmarshal(r.Request, &one) == nil && one.Method != "" {
		return []RecordedCall{one}, false
	}
	return nil, false
}

// Path returns the path that the request was sent to.
func (r Recorded) Path() string {
	return strings.Fields(r.RequestLine)[1]
}

// Result decodes the result of the answer to a single call.
func (r Recorded) Result(tb testing.TB, result any) {
	tb.Helper()
	var a struct {
		Result json.RawMessage `json:"result"`
	}
	require.NoError(tb, json.Unmarshal([]byte(r.Response), &a), r.Case)
	require.NoError(tb, json.Unmarshal(a.Result, result), r.Case)
}

// recordedID is how Bitcoin Core ends an answer.
var recordedID = regexp.MustCompile(`"id":[0-9]+\}`)

// Answer answers a request with the recorded bytes, except for the ids.
func (r Recorded) Answer(w http.ResponseWriter, body []byte) {
	var ids []json.RawMessage
	var one call
	var all []call
	if json.Unmarshal(body, &all) == nil {
		for _, c := range all {
			ids = append(ids, c.ID)
		}
	} else if json.Unmarshal(body, &one) == nil {
		ids = append(ids, one.ID)
	}
	text := recordedID.ReplaceAllStringFunc(r.Response, func(old string) string {
		if len(ids) == 0 {
			return old
		}
		id := ids[0]
		ids = ids[1:]
		return `"id":` + string(id) + `}`
	})
	w.WriteHeader(r.Status)
	_, _ = io.WriteString(w, text)
}

// ServeHTTP answers every request with the recorded answer.
func (r Recorded) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err == nil {
		r.Answer(w, body)
	}
}

// Replay is a node that answers with what was recorded: a call gets the answer to the same call
// at the same path, from the current stage or else from the latest earlier one. Other calls go
// to the fallback server.
type Replay struct {
	URL string

	fallback http.Handler
	mu       sync.Mutex
	stages   [][]Recorded
	now      int // the stage
	asked    []RecordedCall
}

// NewReplay serves stages, each with the names of its exchanges. A stage ends after a bumpfee or
// sendrawtransaction that it answers, and with [Replay.Next].
func NewReplay(tb testing.TB, fallback http.Handler, stages ...[]string) *Replay {
	tb.Helper()
	r := &Replay{fallback: fallback}
	for _, names := range stages {
		var stage []Recorded
		for _, name := range names {
			stage = append(stage, OneRecorded(tb, name))
		}
		r.stages = append(r.stages, stage)
	}
	s := httptest.NewServer(r)
	tb.Cleanup(s.Close)
	r.URL = s.URL
	return r
}

// Add adds an exchange to the current stage.
func (r *Replay) Add(e Recorded) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stages[r.now] = append(r.stages[r.now], e)
}

// Next advances to the next stage.
func (r *Replay) Next() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now++
}

// Asked returns the calls so far.
func (r *Replay) Asked() []RecordedCall {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

func (r *Replay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	if found := r.find(req.URL.EscapedPath(), body); found != nil {
		found.Answer(w, body)
		return
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	r.fallback.ServeHTTP(w, req)
}

func (r *Replay) find(path string, body []byte) *Recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := Recorded{Request: body}
	calls, batch := asked.Calls()
	r.asked = append(r.asked, calls...)
	for i := min(r.now, len(r.stages)-1); i >= 0; i-- {
		for _, known := range r.stages[i] {
			want, wantBatch := known.Calls()
			if known.Path() != path || batch != wantBatch || !reflect.DeepEqual(calls, want) {
				continue
			}
			if i == r.now && (calls[0].Method == "bumpfee" || calls[0].Method == "sendrawtransaction") {
				r.now++
			}
			return &known
		}
	}
	return nil
}
