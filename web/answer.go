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

// answer is the http.ResponseWriter of a request. It holds the response back
// until the handler has returned, so that a late failure can replace it.
// Handlers of Handle may stream, so their responses pass through.
//
// Middleware may put its own writer around the request's answer. The handler
// then has an inner answer, which holds back what goes to that writer.
type answer struct {
	http.ResponseWriter
	exchanged *exchanged
	inner     bool // another answer lies outside
	head      bool // the request is a HEAD
	last      bool // the connection ends after it
	status    int  // 0 until it is known
	size      int  // bytes of the body
	held      *bytes.Buffer
	through   bool        // no longer held back
	given     http.Header // headers that others have set before; discard keeps them
	values    [3]string   // room for headers, see set
	used      int         // how many of values are used
	arrival   arrival     // of the request
	streams   func()      // called when a part is sent before the rest is there; may be nil
}

// exchanged is what the answers of one request share. A handler may still use
// it after middleware has given up on the handler.
type exchanged struct {
	site  *handler
	outer *answer // nil if middleware has hidden it

	mu        sync.Mutex // guards the fields below
	requestID string
	route     string          // the pattern that fits the request; empty if none fits
	within    context.Context // the context of the handler, or the last one before it
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// A larger buffer is not kept, because most answers are small.
const largestKeptBuffer = 64 << 10

// newAnswer returns the outermost answer of a request. The connection ends
// after a request in chunks. RFC 9112, 6.1, requires that if the request had a
// Content-Length too, because a proxy in front may see another request in what
// follows. Package http does not tell whether it had one.
func newAnswer(site *handler, w http.ResponseWriter, r *http.Request) *answer {
	both := &struct { // one allocation
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
	if !ok { // middleware has made another context
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

// set sets a header. name must be in canonical form. set allocates only for
// headers that not every answer has, like Header.Set.
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

// id returns the request's id. Once there is a call, it is the unique part of
// the call's id.
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

// came notes how far a request has come.
func (e *exchanged) came(r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.route, e.within = r.Pattern, r.Context()
}

// routed notes the pattern of a request that none of our handlers gets.
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

// instance returns the request's id as a URI for a problem.
func (e *exchanged) instance() string { return "urn:uuid:" + e.id() }

func (a *answer) id() string { return a.exchanged.id() }

func (a *answer) instance() string { return a.exchanged.instance() }

// WriteHeader sets the status. Only the first call counts. Informational
// statuses (1xx) are sent at once.
func (a *answer) WriteHeader(status int) {
	informational := status < 200 && status != http.StatusSwitchingProtocols
	if a.status != 0 && !informational {
		return
	}
	if status == http.StatusSwitchingProtocols {
		a.pass() // what follows is not HTTP
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

// Flush sends what was written so far if the answer passes through.
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
	_ = http.NewResponseController(a.ResponseWriter).Flush() // a writer that can't flush needs no flush
}

// Hijack gives the connection away. It is for handlers that use http.Hijacker
// and not http.ResponseController.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err == nil {
		a.pass()
		a.status = cmp.Or(a.status, http.StatusSwitchingProtocols)
	}
	return conn, buffered, err
}

// extendDeadline gives the client time for the next write. The timeout of
// http.Server would count the handler's time too.
func (a *answer) extendDeadline() {
	timeout := a.exchanged.site.options.WriteTimeout
	if w, ok := a.ResponseWriter.(interface{ SetWriteDeadline(time.Time) error }); ok && timeout > 0 {
		_ = w.SetWriteDeadline(time.Now().Add(timeout)) // fails only on a dead connection, and so will the write
	}
}

// pass stops holding the answer back.
func (a *answer) pass() {
	a.Header().Set(requestIDHeader, a.id())
	a.close()
	a.through = true
	if a.inner {
		a.exchanged.outer.pass()
	}
}

// close closes the connection after the answer if it is the last one.
func (a *answer) close() {
	if a.last {
		a.Header().Set("Connection", "close")
	}
}

// keep makes discard keep the headers that are set.
func (a *answer) keep() { a.given = a.Header().Clone() }

// discard forgets the answer that is held back, so that another one can be
// written.
func (a *answer) discard() {
	clear(a.Header())
	maps.Copy(a.Header(), a.given)
	a.status, a.size = 0, 0
	a.held.Reset()
}

// problem replaces the answer by a problem.
func (a *answer) problem(p *Problem) {
	a.discard()
	a.exchanged.tell(a, p)
}

// tell writes a problem to w and keeps the headers of w.
func (e *exchanged) tell(w http.ResponseWriter, p *Problem) {
	p.Instance = e.instance()
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers always marshal
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
		_, _ = a.ResponseWriter.Write(a.held.Bytes()) // if it fails, the client has gone
	}
}

func (a *answer) release() {
	if a.held.Cap() <= largestKeptBuffer {
		a.held.Reset()
		buffers.Put(a.held)
	}
	a.held = nil
}
