package interop_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
)

const (
	// patience is how long a trial waits for what has to happen: far longer
	// than Nameko needs on a busy machine.
	patience = 30 * time.Second

	// quiet is how long nothing must happen where it must not.
	quiet = 300 * time.Millisecond

	// pause is the time between two looks at what sends no signal.
	pause = 20 * time.Millisecond
)

// behaviour is one line of the table: something that a service or a client
// does, whatever its language.
type behaviour struct {
	id, title string

	// alone has the trial run beside others, on peers of its own.
	alone bool

	// notYet says what Enoki lacks for it, lacks why a pairing can't have it:
	// the trial is not run then. Better says what Enoki does better than
	// Nameko, and that the trial tests this.
	notYet, lacks, better reason

	run func(x *trial)
}

// reason says something about some pairings; empty is nothing.
type reason func(p *pairing) string

func (r reason) of(p *pairing) string {
	if r == nil {
		return ""
	}
	return r(p)
}

// always is a reason for every pairing.
func always(why string) reason { return func(*pairing) string { return why } }

// serviceIn is a reason for services in one language.
func serviceIn(language, why string) reason {
	return func(p *pairing) string {
		if p.serviceLanguage == language {
			return why
		}
		return ""
	}
}

// excused puts into c why the behaviour is not tried in a pairing, if so.
func (b *behaviour) excused(p *pairing, c *cell) bool {
	if why := b.notYet.of(p); why != "" {
		c.verdict, c.reason = notYet, why
		return true
	}
	if why := b.lacks.of(p); why != "" {
		c.verdict, c.reason = notFitted, why
		return true
	}
	return false
}

// trial is a behaviour in one pairing.
type trial struct {
	*testing.T
	*pairing

	behaviour  *behaviour
	difference string
}

// names makes what trials name unique.
var names atomic.Int64

// name returns a name that nobody else uses on this broker.
func (x *trial) name(what string) string { return fmt.Sprintf("%s%d", what, names.Add(1)) }

// Fatalf ends the trial: what it says is the difference.
func (x *trial) Fatalf(format string, a ...any) {
	x.Helper()
	x.difference = fmt.Sprintf(format, a...)
	x.T.Fatal(x.difference)
}

// must ends the trial when a step failed that is no behaviour.
func (x *trial) must(err error) {
	x.Helper()
	if err != nil {
		x.Fatalf("%v", err)
	}
}

// caller is a client of one peer.
type caller struct {
	trial *trial
	peer  peer
	name  string
}

// caller opens a client by a peer.
func (x *trial) caller(p peer, s clientSpec) *caller {
	x.Helper()
	s.Name = x.name("client")
	if s.Kind == "" {
		s.Kind = standalone
	}
	x.must(p.open(s))
	return &caller{x, p, s.Name}
}

func (c *caller) do(s callSpec) outcome {
	s.Client = c.name
	return c.peer.call(s)
}

func (c *caller) call(service, method string, args ...any) outcome {
	return c.do(callSpec{Service: service, Method: method, Args: args})
}

// standalone is the pairing's client that stands outside any service.
func (x *trial) standalone() *caller { x.Helper(); return x.shared(&x.outside, standalone) }

// inservice is the pairing's client inside a service.
func (x *trial) inservice() *caller { x.Helper(); return x.shared(&x.inside, inService) }

// clients are both of them.
func (x *trial) clients() []*caller {
	x.Helper()
	return []*caller{x.standalone(), x.inservice()}
}

// shared opens a client at its first use. Trials that run beside others have
// clients of their own instead.
func (x *trial) shared(name *string, kind string) *caller {
	x.Helper()
	if x.behaviour.alone {
		x.Fatalf("a trial that runs beside others needs a client of its own")
	}
	if *name == "" {
		*name = x.caller(x.client, clientSpec{Kind: kind}).name
	}
	return &caller{x, x.client, *name}
}

// begin makes a call and does not wait for it.
func (c *caller) begin(service, method string, args ...any) <-chan outcome {
	done := make(chan outcome, 1)
	go func() { done <- c.call(service, method, args...) }()
	return done
}

// returns ends the trial unless out is the result want, by JSON.
func (x *trial) returns(out outcome, want any) {
	x.Helper()
	text, err := json.Marshal(want)
	x.must(err)
	if out.err != nil || !reflect.DeepEqual(decoded(out.result), decoded(text)) {
		x.Fatalf("got %v, want %s", out, text)
	}
}

// decoded returns JSON as a value, with numbers as they were written.
func decoded(text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return fmt.Sprintf("not JSON: %s", text)
	}
	return v
}

// fails ends the trial unless out is a failure of this kind.
func (x *trial) fails(out outcome, kind string) *failure {
	x.Helper()
	if out.err == nil || out.err.kind != kind {
		x.Fatalf("got %v, want %s", out, kind)
	}
	return out.err
}

// failsAs ends the trial unless f is an error of the caller's own side: of this
// code where it is in Go, of this class where it is in Python.
func (x *trial) failsAs(f *failure, code enoki.Code, class string) {
	x.Helper()
	want := string(code)
	if x.clientLanguage == snake {
		want = class
	}
	if f == nil || f.own != want {
		x.Fatalf("got %v, want %s", f, want)
	}
}

// ended returns what became of a call that was begun.
func (x *trial) ended(done <-chan outcome) outcome {
	x.Helper()
	select {
	case out := <-done:
		return out
	case <-time.After(2 * patience):
		x.Fatalf("a call was never answered")
		return outcome{}
	}
}

// waits ends the trial when a call that was begun does not wait.
func (x *trial) waits(done <-chan outcome) {
	x.Helper()
	select {
	case out := <-done:
		x.Fatalf("a call was answered too early: %v", out)
	case <-time.After(quiet):
	}
}

// noted returns the next note about a service.
func (x *trial) noted(p peer, service string) note {
	x.Helper()
	n, ok := p.notes().next(service, patience)
	if !ok {
		x.Fatalf("%s in %s saw nothing within %v", service, p.language(), patience)
	}
	return n
}

// silent ends the trial when there is another note about a service.
func (x *trial) silent(p peer, service string) {
	x.Helper()
	if n, ok := p.notes().next(service, quiet); ok {
		x.Fatalf("%s in %s saw one too many: %s %s %s", service, p.language(), n.What, n.Name, n.Payload)
	}
}

// until looks again and again, for what sends no signal.
func (x *trial) until(what string, look func() bool) {
	x.Helper()
	deadline := time.Now().Add(patience)
	for !look() {
		if time.Now().After(deadline) {
			x.Fatalf("within %v not so: %s", patience, what)
		}
		time.Sleep(pause)
	}
}

// serve starts an instance.
func (x *trial) serve(p peer, s serviceSpec) string {
	x.Helper()
	instance, err := p.serve(s)
	x.must(err)
	return instance
}

// ownService is a peer of the service's language for this trial alone.
func (x *trial) ownService(s peerSpec) peer { x.Helper(); return x.own(x.serviceLanguage, s) }

// ownClient is a peer of the client's language for this trial alone.
func (x *trial) ownClient(s peerSpec) peer { x.Helper(); return x.own(x.clientLanguage, s) }

func (x *trial) own(language string, s peerSpec) peer {
	x.Helper()
	p, err := x.newPeer(x.T, language, s)
	x.must(err)
	return p
}

// probe has the probe do something on the broker.
func (x *trial) probe(what string, with map[string]any) json.RawMessage {
	x.Helper()
	out, err := x.prober.do(what, with)
	x.must(err)
	return out
}

// queueState is what the broker says of a queue.
type queueState struct {
	Messages  int `json:"messages"`
	Consumers int `json:"consumers"`
}

// queue asks the broker about a queue; nil when there is none.
func (x *trial) queue(name string) *queueState {
	x.Helper()
	var q *queueState
	x.must(json.Unmarshal(x.probe("queue", map[string]any{"name": name}), &q))
	return q
}

// sameQueue ends the trial unless the queue has exactly these flags: RabbitMQ
// refuses a declaration with others.
func (x *trial) sameQueue(name string, durable, autoDelete bool, arguments map[string]any) {
	x.Helper()
	_, err := x.prober.do("declare_queue", map[string]any{"name": name, "flags": map[string]any{
		"durable": durable, "auto_delete": autoDelete, "arguments": arguments}})
	if err != nil {
		x.Fatalf("queue %s has other flags than durable %v, auto-delete %v, arguments %v: %v", name, durable, autoDelete, arguments, err)
	}
}

// inbox has the probe take what arrives for a routing key of the exchange of
// requests and replies, and returns the name that its notes have.
func (x *trial) inbox(exchange, key string) string {
	x.Helper()
	queue := x.name("inbox")
	x.probe("inbox", map[string]any{"queue": queue, "exchange": exchange, "key": key})
	return queue
}

// mail is a message that came to an inbox.
type mail struct {
	Body       string         `json:"body"`
	Key        string         `json:"key"`
	Properties map[string]any `json:"properties"`
	Headers    map[string]any `json:"headers"`
}

func (x *trial) mail(inbox string) mail {
	x.Helper()
	var m mail
	x.must(json.Unmarshal(x.noted(x.prober, inbox).Payload, &m))
	return m
}

// request is a message that the probe publishes to a service.
type request struct {
	service, method string
	body            string
	properties      map[string]any // over those of a good request; nil takes one out
}

// post publishes a request whose reply goes to an inbox.
func (x *trial) post(r request, replyTo string) {
	x.Helper()
	properties := map[string]any{"content_type": "application/json", "content_encoding": "utf-8",
		"delivery_mode": 2, "reply_to": replyTo, "correlation_id": x.name("call")}
	for name, value := range r.properties {
		if value == nil {
			delete(properties, name)
		} else {
			properties[name] = value
		}
	}
	x.probe("publish", map[string]any{"exchange": "nameko-rpc", "key": r.service + "." + r.method,
		"body": r.body, "properties": properties})
}

// replied is the body of a reply.
type replied struct {
	Result any `json:"result"`
	Error  *struct {
		Type  string `json:"exc_type"`
		Path  string `json:"exc_path"`
		Args  []any  `json:"exc_args"`
		Value string `json:"value"`
	} `json:"error"`
}

// reply returns the reply that came to an inbox.
func (x *trial) reply(inbox string) (replied, mail) {
	x.Helper()
	m := x.mail(inbox)
	var r replied
	x.must(json.Unmarshal([]byte(m.Body), &r))
	return r, m
}

// replyHeard returns the reply that a service's tap heard being published
// after mark.
func (x *trial) replyHeard(p peer, mark int) (replied, *said) {
	x.Helper()
	s := p.wire().await(mark, "basic.publish", func(s *said) bool { return s.fromClient && isReply(s) })
	if s == nil {
		x.Fatalf("no reply was published")
	}
	var r replied
	x.must(json.Unmarshal(s.body, &r))
	return r, s
}

func isReply(s *said) bool { return strings.Contains(string(s.body), `"result"`) }
