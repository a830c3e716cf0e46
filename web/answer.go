package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/enoki-go/enoki/internal/uuid"
)

// answer is the http.ResponseWriter of a request. It holds the answer back
// until the handler has returned, so that a late failure can replace it; the
// handlers of Handle may stream, so theirs passes through.
type answer struct {
	http.ResponseWriter
	head         bool // the request is a HEAD
	last         bool // of its connection
	writeTimeout time.Duration
	requestID    string
	status       int // 0 until it is known
	size         int // bytes of the body
	held         *bytes.Buffer
	through      bool      // not held back any more
	values       [3]string // of headers, for set
	used         int       // of values
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// A buffer that had one huge answer is not kept for all the small ones.
const largestKeptBuffer = 64 << 10

// newAnswer returns the answer to r. A request in chunks is the last one of its
// connection: package http does not tell whether it had a Content-Length too,
// after which RFC 9112, 6.1, has the connection closed, since a proxy in front
// may take what follows for another request than we do.
func newAnswer(w http.ResponseWriter, r *http.Request, writeTimeout time.Duration) *answer {
	return &answer{
		ResponseWriter: w,
		head:           r.Method == http.MethodHead,
		last:           r.TransferEncoding != nil && r.ProtoMajor == 1,
		writeTimeout:   writeTimeout,
		held:           buffers.Get().(*bytes.Buffer),
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// set sets a header of the name, which must be in the canonical form. Beyond
// what each answer has anyway, it makes room as Header.Set does.
func (a *answer) set(name, value string) {
	if a.used == len(a.values) {
		a.Header()[name] = []string{value}
		return
	}
	n := a.used
	a.used++
	a.values[n] = value
	a.Header()[name] = a.values[n : n+1 : n+1]
}

// id returns the request's id, which is the unique part of the call's id as
// soon as there is a call.
func (a *answer) id() string {
	if a.requestID == "" {
		a.requestID = uuid.New()
	}
	return a.requestID
}

// WriteHeader sets the status; only the first one counts. Informational ones
// (1xx) are sent at once.
func (a *answer) WriteHeader(status int) {
	informational := status < 200 && status != http.StatusSwitchingProtocols
	if a.status != 0 && !informational {
		return
	}
	if status == http.StatusSwitchingProtocols {
		a.pass() // what follows is no HTTP
	}
	if !informational {
		a.status = status
	}
	if informational || a.through {
		a.extendDeadline()
		a.ResponseWriter.WriteHeader(status)
	}
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	a.size += len(p)
	if !a.through {
		return a.held.Write(p)
	}
	a.extendDeadline()
	return a.ResponseWriter.Write(p)
}

// Flush sends what was written so far when the answer passes through.
func (a *answer) Flush() {
	if !a.through {
		return
	}
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	a.extendDeadline()
	_ = http.NewResponseController(a.ResponseWriter).Flush() // a writer that can't flush needs none
}

// extendDeadline gives the client its time for the next write. The timeout of
// http.Server would count the handler's time too.
func (a *answer) extendDeadline() {
	if w, ok := a.ResponseWriter.(interface{ SetWriteDeadline(time.Time) error }); ok && a.writeTimeout > 0 {
		_ = w.SetWriteDeadline(time.Now().Add(a.writeTimeout)) // fails on a dead connection only, as the write will
	}
}

// pass ends the holding back.
func (a *answer) pass() {
	a.Header().Set(requestIDHeader, a.id())
	a.close()
	a.through = true
}

// close has the connection closed after the answer, if it is the last.
func (a *answer) close() {
	if a.last {
		a.Header().Set("Connection", "close")
	}
}

// discard forgets an answer that is held back, to write another one.
func (a *answer) discard() {
	clear(a.Header())
	a.status, a.size = 0, 0
	a.held.Reset()
}

// problem replaces what was to be the answer by a problem.
func (a *answer) problem(p *Problem) {
	a.discard()
	p.Instance = a.instance()
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // a struct of texts and numbers always is valid JSON
	}
	header := a.Header()
	header.Set(requestIDHeader, a.id())
	header.Set("Content-Type", problemType)
	header.Set("X-Content-Type-Options", "nosniff")
	a.WriteHeader(p.Status)
	_, _ = a.Write(body) // to a buffer, or to a client that may have gone
}

// instance is the request's id as the URI that a problem has.
func (a *answer) instance() string { return "urn:uuid:" + a.id() }

// finish sends what was held back.
func (a *answer) finish() {
	defer a.release()
	if a.status == 0 {
		a.status = http.StatusOK // package http sends it
	}
	if a.through {
		return
	}
	header := a.Header()
	a.set(requestIDHeader, a.id())
	a.close()
	if header.Get("Content-Length") == "" && a.status != http.StatusNoContent && a.status != http.StatusNotModified {
		a.set("Content-Length", strconv.Itoa(a.held.Len()))
	}
	a.extendDeadline()
	a.ResponseWriter.WriteHeader(a.status)
	if !a.head && a.held.Len() > 0 {
		_, _ = a.ResponseWriter.Write(a.held.Bytes()) // the client has gone; nobody is left to tell
	}
}

func (a *answer) release() {
	if a.held.Cap() <= largestKeptBuffer {
		a.held.Reset()
		buffers.Put(a.held)
	}
	a.held = nil
}
