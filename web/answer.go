package web

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/enoki-go/enoki/internal/uuid"
)

// answer is the http.ResponseWriter of a request. It holds the answer back
// until the handler has returned, so that a late failure can replace it; the
// handlers of Handle may stream, so theirs passes through.
//
// Where middleware has put a writer of its own around the request's answer,
// a handler has an inner answer that holds back what goes to that writer.
type answer struct {
	http.ResponseWriter
	exchanged *exchanged
	inner     bool // another answer lies outside
	head      bool // the request is a HEAD
	last      bool // of its connection
	status    int  // 0 until it is known
	size      int  // bytes of the body
	held      *bytes.Buffer
	through   bool        // not held back any more
	given     http.Header // what others had set before; kept by discard
	values    [3]string   // of headers, for set
	used      int         // of values
	arrival   arrival     // of the request
	streams   func()      // called when a part is sent before the rest is there; may be nil
}

// exchanged is what the answers of one request share. A handler that goes on
// after middleware has given up on it may still use it.
type exchanged struct {
	site  *handler
	outer *answer // nil when middleware has hidden it

	mu        sync.Mutex // guards what follows
	requestID string
	route     string          // the pattern that fits the request; empty for none
	within    context.Context // of the handler, or as near to it as the request came
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// A buffer that had one huge answer is not kept for all the small ones.
const largestKeptBuffer = 64 << 10

// newAnswer returns the outermost answer of a request. A request in chunks is the
// last one of its connection: package http does not tell whether it had a
// Content-Length too, after which RFC 9112, 6.1, has the connection closed,
// since a proxy in front may take what follows for another request than we do.
func newAnswer(site *handler, w http.ResponseWriter, r *http.Request) *answer {
	both := &struct { // made at once
		answer
		exchanged
	}{}
	a := &both.answer
	*a = answer{
		ResponseWriter: w,
		exchanged:      &both.exchanged,
		head:           r.Method == http.MethodHead,
		last:           r.TransferEncoding != nil && r.ProtoMajor == 1,
		held:           buffers.Get().(*bytes.Buffer),
	}
	a.exchanged.site, a.exchanged.within, a.exchanged.outer = site, r.Context(), a
	return a
}

type exchangedKey struct{}

// answerTo returns the answer that holds back what goes to w.
func (h *handler) answerTo(w http.ResponseWriter, r *http.Request) *answer {
	if a, ok := w.(*answer); ok && !a.through {
		return a
	}
	shared, ok := r.Context().Value(exchangedKey{}).(*exchanged)
	if !ok { // middleware has made a context of its own
		return newAnswer(h, w, r)
	}
	return &answer{
		ResponseWriter: w,
		exchanged:      shared,
		inner:          true,
		head:           r.Method == http.MethodHead,
		held:           buffers.Get().(*bytes.Buffer),
		given:          w.Header().Clone(),
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
func (e *exchanged) id() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.requestID == "" {
		e.requestID = uuid.New()
	}
	return e.requestID
}

// called takes over the id of a call.
func (e *exchanged) called(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requestID = id
}

// came notes how far a request came.
func (e *exchanged) came(r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.route, e.within = r.Pattern, r.Context()
}

// routed notes the pattern of a request that came to no handler of ours.
func (e *exchanged) routed(pattern string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.route = cmp.Or(e.route, pattern)
}

// place returns what came and routed have noted.
func (e *exchanged) place() (route string, within context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.route, e.within
}

// instance is the request's id as the URI that a problem has.
func (e *exchanged) instance() string { return "urn:uuid:" + e.id() }

func (a *answer) id() string { return a.exchanged.id() }

func (a *answer) instance() string { return a.exchanged.instance() }

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
		if !informational {
			a.Header().Set(requestIDHeader, a.id())
			a.close()
		}
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
	if a.streams != nil {
		a.streams()
	}
	_ = http.NewResponseController(a.ResponseWriter).Flush() // a writer that can't flush needs none
}

// Hijack gives the connection away, for handlers that ask for http.Hijacker
// instead of http.ResponseController.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err == nil {
		a.pass()
		a.status = cmp.Or(a.status, http.StatusSwitchingProtocols)
	}
	return conn, buffered, err
}

// extendDeadline gives the client its time for the next write. The timeout of
// http.Server would count the handler's time too.
func (a *answer) extendDeadline() {
	timeout := a.exchanged.site.options.WriteTimeout
	if w, ok := a.ResponseWriter.(interface{ SetWriteDeadline(time.Time) error }); ok && timeout > 0 {
		_ = w.SetWriteDeadline(time.Now().Add(timeout)) // fails on a dead connection only, as the write will
	}
}

// pass ends the holding back.
func (a *answer) pass() {
	a.Header().Set(requestIDHeader, a.id())
	a.close()
	a.through = true
	if a.inner {
		a.exchanged.outer.pass()
	}
}

// close has the connection closed after the answer, if it is the last.
func (a *answer) close() {
	if a.last {
		a.Header().Set("Connection", "close")
	}
}

// keep has discard spare the headers that are set.
func (a *answer) keep() { a.given = a.Header().Clone() }

// discard forgets an answer that is held back, to write another one.
func (a *answer) discard() {
	clear(a.Header())
	maps.Copy(a.Header(), a.given)
	a.status, a.size = 0, 0
	a.held.Reset()
}

// problem replaces what was to be the answer by a problem.
func (a *answer) problem(p *Problem) {
	a.discard()
	a.exchanged.tell(a, p)
}

// tell writes a problem to w, whose headers stay.
func (e *exchanged) tell(w http.ResponseWriter, p *Problem) {
	p.Instance = e.instance()
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // a struct of texts and numbers always is valid JSON
	}
	header := w.Header()
	header.Set(requestIDHeader, e.id())
	header.Set("Content-Type", problemType)
	header.Set("X-Content-Type-Options", "nosniff")
	if p.Status == http.StatusUnauthorized {
		e.site.challenge(header)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // to a buffer, or to a client that may have gone
}

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
