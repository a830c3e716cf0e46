package interop_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// peer is a process, or what stands for one, that runs services and clients
// in one language behind a tap of its own. Its methods may be called
// concurrently. A step that fails for no reason of a behaviour ends the trial.
type peer interface {
	language() string
	wire() *tap

	// serve starts an instance of the service that every behaviour is tried
	// on, and returns its id once it takes work.
	serve(s serviceSpec) (instance string, err error)
	stop(instance string) error // as on SIGTERM
	abandon(instance string)    // at once, its work given back

	open(c clientSpec) error
	call(c callSpec) outcome
	interrupt(client string) // the call that waits
	shut(client string) error
	reopen(client string) error

	emit(e emitSpec) *failure // without a service around it
	release(gate string)
	notes() *notebook

	end() // of the whole peer, as kill -9
}

// peerSpec are the settings that a process has as a whole; zero is the
// default of each language.
type peerSpec struct {
	vhost     string
	workers   int
	heartbeat time.Duration // whole seconds
	tracked   int           // parent calls

	login      *login   // by TLS, past the tap
	web        string   // host and port of HTTP
	autoDelete bool     // of event exchanges
	undeclared bool     // event exchanges are left to others
	serializer string   // what is sent; empty is JSON
	accept     []string // what is read; empty is what is sent
}

// serviceSpec is an instance of the service under test.
type serviceSpec struct {
	Name      string         `json:"name"`
	Handlers  []handlerSpec  `json:"handlers"`
	Timers    []timerSpec    `json:"timers"`
	Consumers []consumerSpec `json:"consumers"`
	Publisher *publisherSpec `json:"publisher,omitempty"`
	Web       bool           `json:"web"` // HTTP and WebSocket entrypoints, at the peer's address
}

// consumerSpec takes the messages of a queue and notes them.
type consumerSpec struct {
	Name     string `json:"name"`
	Queue    string `json:"queue"`
	Exchange string `json:"exchange"`
	Key      string `json:"key"`
	Requeue  bool   `json:"requeue"`
	Fail     int    `json:"fail"`
}

// publisherSpec is where the method post publishes to.
type publisherSpec struct {
	Exchange string         `json:"exchange"`
	Options  publishOptions `json:"options"`
}

// publishOptions are options of a publisher or of a call of it.
type publishOptions struct {
	RoutingKey   string         `json:"routing_key,omitempty"`
	DeliveryMode int            `json:"delivery_mode,omitempty"`
	Mandatory    bool           `json:"mandatory,omitempty"`
	Priority     uint8          `json:"priority,omitempty"`
	Expiration   int            `json:"expiration,omitempty"` // seconds
	Compression  string         `json:"compression,omitempty"`
	Headers      map[string]any `json:"headers,omitempty"`
}

// handlerSpec is an event handler that notes what comes.
type handlerSpec struct {
	Name   string `json:"name"`
	Source string `json:"source"`
	Event  string `json:"event"`
	Mode   string `json:"mode"`
	Fail   int    `json:"fail"`           // so many times before it succeeds
	Gate   string `json:"gate,omitempty"` // waits until it is released

	// What becomes of an event whose handler fails. Neither is the default of
	// each language, which differs.
	Requeue bool `json:"requeue"`
	Drop    bool `json:"drop"` // Nameko's default

	Reliable    *bool  `json:"reliable,omitempty"` // default: all but broadcasts
	BroadcastID string `json:"broadcast_id,omitempty"`
}

// timerSpec is a timer that notes its ticks.
type timerSpec struct {
	Name     string  `json:"name"`
	Interval float64 `json:"interval"` // seconds
	Eager    bool    `json:"eager"`
	Gate     string  `json:"gate,omitempty"`
	Fail     bool    `json:"fail"`
}

// Kinds of clients.
const (
	standalone = "standalone"
	inService  = "service"
)

// clientSpec is a client.
type clientSpec struct {
	Name    string         `json:"client"`
	Kind    string         `json:"kind"`
	Timeout float64        `json:"timeout,omitempty"` // seconds, of each call
	Context map[string]any `json:"context"`
}

// callSpec is one call by a client.
type callSpec struct {
	Client  string         `json:"client"`
	Service string         `json:"service"`
	Method  string         `json:"method"`
	Args    []any          `json:"args"`
	Kwargs  map[string]any `json:"kwargs"`
	Again   bool           `json:"again"`   // ask an asynchronous call for its result twice
	Foreign bool           `json:"foreign"` // give an argument that JSON can't carry
}

// emitSpec is an event emitted from outside a service.
type emitSpec struct {
	Source  string         `json:"source"`
	Event   string         `json:"event"`
	Payload any            `json:"payload"`
	Timeout float64        `json:"timeout,omitempty"` // seconds
	Options map[string]any `json:"options,omitempty"`
}

// outcome is what a caller gets.
type outcome struct {
	result json.RawMessage
	err    *failure
}

func (o outcome) String() string {
	if o.err != nil {
		return o.err.String()
	}
	return string(o.result)
}

// failure is an error as a caller sees it, in words that fit both languages.
type failure struct {
	kind  string // one of the kinds below
	typ   string // of a remote error
	path  string // of a remote error; a Python caller does not see it
	value string
	args  []any
	local string // what it is in the caller's language
	own   string // its code in Go, its class with the module in Python
}

// Kinds of failures.
const (
	incorrectSignature = "IncorrectSignature"
	methodNotFound     = "MethodNotFound"
	malformedRequest   = "MalformedRequest"
	unknownService     = "UnknownService"
	remoteError        = "RemoteError"
	timedOut           = "timed out"
	interrupted        = "interrupted"
	other              = "other" // an error of the caller's own side
)

func (f *failure) String() string {
	if f == nil {
		return "no error"
	}
	return fmt.Sprintf("%s %s(%s %s: %s) [%s]", f.own, f.kind, f.typ, f.path, f.value, f.local)
}

// note is what a service or an inbox saw.
type note struct {
	Service  string          `json:"service"`
	Instance string          `json:"instance"`
	What     string          `json:"what"` // entered, event, tick, message
	Name     string          `json:"name"` // of the handler
	Payload  json.RawMessage `json:"payload"`
	Data     map[string]any  `json:"data"`
	Stack    []string        `json:"stack"`
}

// notebook keeps the notes of a peer, by the service that they are about.
type notebook struct {
	mu      sync.Mutex
	taken   map[string]int // how many of a service have been read
	written map[string][]note
	changed chan struct{}
}

func newNotebook() *notebook {
	return &notebook{taken: map[string]int{}, written: map[string][]note{}, changed: make(chan struct{})}
}

func (b *notebook) write(n note) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.written[n.Service] = append(b.written[n.Service], n)
	close(b.changed)
	b.changed = make(chan struct{})
}

// next returns the next note about a service, and false when none comes within
// the time given.
func (b *notebook) next(service string, within time.Duration) (note, bool) {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		b.mu.Lock()
		changed := b.changed
		if at := b.taken[service]; at < len(b.written[service]) {
			b.taken[service]++
			n := b.written[service][at]
			b.mu.Unlock()
			return n, true
		}
		b.mu.Unlock()
		select {
		case <-changed:
		case <-deadline.C:
			return note{}, false
		}
	}
}

// gates are the places where handlers wait for the test.
type gates struct {
	mu   sync.Mutex
	open map[string]chan struct{}
}

func (g *gates) at(name string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		g.open = map[string]chan struct{}{}
	}
	if g.open[name] == nil {
		g.open[name] = make(chan struct{})
	}
	return g.open[name]
}

func (g *gates) releaseAll() {
	g.mu.Lock()
	var names []string
	for name := range g.open {
		names = append(names, name)
	}
	g.mu.Unlock()
	for _, name := range names {
		g.release(name)
	}
}

func (g *gates) release(name string) {
	gate := g.at(name)
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-gate:
	default:
		close(gate)
	}
}
