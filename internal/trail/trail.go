// Package trail has what a context carries over every hop: the call stack, the
// user's context data, the remaining time, and how many retries are left for a
// tree of calls. It converts the context data of a message to that and back.
package trail

import (
	"context"
	"maps"
	"sync/atomic"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// Keys of the context data that are Enoki's own. The stack is Nameko's. The
// remaining time is in milliseconds and relative, as clocks differ between
// machines; a Python service hands it on like any other key, as it was. The
// deadline is for what lies behind one, see mark.
const (
	stackKey    = "call_id_stack"
	timeoutKey  = "enoki_timeout_ms"
	deadlineKey = "enoki_deadline"
	retriesKey  = "enoki_retries" // that the handler has for its calls
)

// Trail is what a context carries over every hop. It is never changed once a
// context has it.
type Trail struct {
	stack  *stack // nil outside a handler
	data   map[string]any
	Caller string // that was checked in this process; empty for none

	retries *atomic.Int64 // left for the calls of the handler; nil outside one
	retried bool          // what is sent with it is a retry
	grant   int64         // retries that came with a message, plus one; 0 when none did

	Event *broker.Message // the one in hand; nil for other work
}

type trailKey struct{}

// outside is the trail of a context without one; read only.
var outside Trail

// Of returns the trail of ctx.
func Of(ctx context.Context) *Trail {
	if t, ok := ctx.Value(trailKey{}).(*Trail); ok {
		return t
	}
	return &outside
}

// With returns a context with another trail.
func With(ctx context.Context, t *Trail) context.Context {
	return context.WithValue(ctx, trailKey{}, t)
}

// Data returns the user's context data, which must not be changed.
func (t *Trail) Data() map[string]any { return t.data }

// WithData returns a trail with one value of context data changed.
func (t *Trail) WithData(key string, value any) *Trail {
	next := *t
	next.data = make(map[string]any, len(t.data)+1)
	maps.Copy(next.data, t.data)
	next.data[key] = value
	return &next
}

// IDs returns the ids of the calls that led to the work in hand, oldest first:
// texts, in the form in which they travel. They must not be changed.
func (t *Trail) IDs() []any { return t.stack.list() }

// Handler is the context of a handler. It holds its trail itself, to be
// made at once.
type Handler struct {
	context.Context
	trail   Trail
	stack   stack
	retries atomic.Int64
}

// Value implements context.Context.
func (c *Handler) Value(key any) any {
	if key == (trailKey{}) {
		return &c.trail
	}
	return c.Context.Value(key)
}

// Enter returns the context of a handler: the caller's trail with the
// handler's own id on top, and no more than tracked callers below it.
func Enter(ctx context.Context, t *Trail, service, method string, tracked int) *Handler {
	c := &Handler{Context: ctx}
	c.Enter(t, service, method, tracked)
	return c
}

// Enter makes c the context of a handler that t has led to.
func (c *Handler) Enter(t *Trail, service, method string, tracked int) {
	c.stack = stack{service: service, method: method, tracked: tracked, above: t.stack}
	c.trail = Trail{stack: &c.stack, data: t.data, Caller: t.Caller, retries: t.retries}
	if t.retries == nil { // not of a caller in this process
		c.retries.Store(t.granted())
		c.trail.retries = &c.retries
	}
}

// SetEvent says which event is in hand.
func (c *Handler) SetEvent(m *broker.Message) { c.trail.Event = m }

// Send returns the context data of an outgoing message. Work that starts
// outside a service gets an id of its own.
func (t *Trail) Send(ctx context.Context, sender string) map[string]any {
	data := make(map[string]any, len(t.data)+3)
	maps.Copy(data, t.data)
	ids := t.stack.list()
	if len(ids) == 0 {
		ids = []any{newCallID(sender, "call")}
	}
	data[stackKey] = ids
	if end, ok := ctx.Deadline(); ok {
		data[timeoutKey] = max(1, time.Until(end).Milliseconds())
		data[deadlineKey] = mark(end, ids[len(ids)-1])
	}
	if retries, limited := t.retriesToPass(); limited {
		data[retriesKey] = retries
	}
	return data
}

// Origin is what the context data of a message say of its sender.
type Origin struct {
	Trail Trail
	stack stack
}

// Receive splits the context data of a message into the trail and the
// remaining time, which is 0 when the sender gave none.
func (o *Origin) Receive(m *broker.Message) (left time.Duration) {
	t := &o.Trail
	deadline := int64(0)
	for key, value := range m.Context {
		switch key {
		case stackKey:
			o.stack.ids = stackFrom(value)
			t.stack = &o.stack
		case timeoutKey:
			left = milliseconds(value)
		case deadlineKey:
			deadline, _ = value.(int64)
		case retriesKey:
			if n, ok := value.(int64); ok && n >= 0 {
				t.grant = min(n, treeRetries) + 1
			}
		default:
			if t.data == nil {
				t.data = make(map[string]any, len(m.Context))
			}
			t.data[key] = value
		}
	}
	return leftOf(left, deadline, o.stack.ids)
}
