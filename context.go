package enoki

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/deadline"
	"github.com/enoki-go/enoki/internal/uuid"
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

// trail is what a context carries over every hop. It is never changed once a
// context has it.
type trail struct {
	stack  *stack // nil outside a handler
	data   map[string]any
	caller string // that was checked in this process; empty for none

	retries *atomic.Int64 // left for the calls of the handler; nil outside one
	retried bool          // what is sent with it is a retry
	grant   int64         // retries that came with a message, plus one; 0 when none did

	event *broker.Message // the one in hand; nil for other work
}

type trailKey struct{}

// outside is the trail of a context without one; read only.
var outside trail

func trailOf(ctx context.Context) *trail {
	if t, ok := ctx.Value(trailKey{}).(*trail); ok {
		return t
	}
	return &outside
}

func withTrail(ctx context.Context, t *trail) context.Context {
	return context.WithValue(ctx, trailKey{}, t)
}

// stack is the call ids that led to a handler, oldest first. That of the
// handler itself is made when somebody first asks: most never do.
type stack struct {
	service, method string // of the handler; empty when ids came from elsewhere
	tracked         int    // how many ids of callers stay

	once  sync.Once
	above *stack // of the caller
	ids   []any  // texts, in the form in which they travel
}

func (s *stack) list() []any {
	if s == nil {
		return nil
	}
	s.once.Do(s.complete)
	return s.ids
}

func (s *stack) complete() {
	if s.service == "" {
		return
	}
	callers := s.above.list()
	callers = callers[max(0, len(callers)-s.tracked):]
	s.ids = append(slices.Clip(slices.Clone(callers)), newCallID(s.service, s.method))
	s.above = nil
}

// ContextData returns a copy of the data that came with the work in hand and
// goes on with every call and event made with ctx: Nameko's context data.
func ContextData(ctx context.Context) map[string]any {
	t := trailOf(ctx)
	data := make(map[string]any, len(t.data)) // never nil: its owner may write
	maps.Copy(data, t.data)
	return data
}

// WithContextData returns a context whose calls and events carry value under
// key, through Go and Python services alike. Values are those that
// [broker.Message] lists.
func WithContextData(ctx context.Context, key string, value any) context.Context {
	t := trailOf(ctx)
	data := make(map[string]any, len(t.data)+1)
	maps.Copy(data, t.data)
	data[key] = value
	next := *t
	next.data = data
	return withTrail(ctx, &next)
}

// CallStack returns the ids of the calls that led to the work in hand, oldest
// first, its own last. An id is service.method.uuid. It is empty outside a
// handler.
func CallStack(ctx context.Context) []string {
	var stack []string
	for _, id := range trailOf(ctx).stack.list() {
		stack = append(stack, id.(string))
	}
	return stack
}

// CallID returns the id of the work in hand: the last of CallStack, or "".
func CallID(ctx context.Context) string {
	ids := trailOf(ctx).stack.list()
	if len(ids) == 0 {
		return ""
	}
	return ids[len(ids)-1].(string)
}

// handlerContext is the context of a handler. It holds its trail itself, to be
// made at once.
type handlerContext struct {
	context.Context
	trail   trail
	stack   stack
	retries atomic.Int64
}

func (c *handlerContext) Value(key any) any {
	if key == (trailKey{}) {
		return &c.trail
	}
	return c.Context.Value(key)
}

// enter returns the context of a handler: the caller's trail with the
// handler's own id on top, and no more than tracked callers below it.
func (t *trail) enter(ctx context.Context, service, method string, tracked int) *handlerContext {
	c := &handlerContext{Context: ctx}
	c.enter(t, service, method, tracked)
	return c
}

func (c *handlerContext) enter(t *trail, service, method string, tracked int) {
	c.stack = stack{service: service, method: method, tracked: tracked, above: t.stack}
	c.trail = trail{stack: &c.stack, data: t.data, caller: t.caller, retries: t.retries}
	if t.retries == nil { // not of a caller in this process
		c.retries.Store(t.granted())
		c.trail.retries = &c.retries
	}
}

func newCallID(service, method string) string {
	var room [128]byte // enough for most, and not on the heap
	id := append(append(room[:0], service...), '.')
	id = append(append(id, method...), '.')
	return string(uuid.Append(id))
}

// send returns the context data of an outgoing message. Work that starts
// outside a service gets an id of its own.
func (t *trail) send(ctx context.Context, sender string) map[string]any {
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

// origin is what the context data of a message say of its sender.
type origin struct {
	trail trail
	stack stack
}

// receive splits the context data of a message into the trail and the
// remaining time, which is 0 when the sender gave none.
func (o *origin) receive(m *broker.Message) (left time.Duration) {
	t := &o.trail
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

// mark is a deadline by the wall clock, in milliseconds, with some bits that tell
// which call has set it: one number, as each call carries it.
func mark(end time.Time, id any) int64 {
	text, _ := id.(string)
	return end.UnixMilli()<<markBits | int64(hash(text))&(1<<markBits-1)
}

// markBits leave 42 bits for milliseconds, enough until 2109.
const markBits = 21

// hash is FNV-1a.
func hash(text string) uint32 {
	h := uint32(2166136261)
	for i := range len(text) {
		h = (h ^ uint32(text[i])) * 16777619
	}
	return h
}

// leftOf returns how much of the time that was left to a sender is left now.
// When the last call of the stack is the one that set the deadline, that is all.
// Another one means that a service lies between that has handed the time on as
// it was, so the wall clock tells what is left. It can only shorten the time,
// and not to nothing: a clock that is wrong must not end a call.
func leftOf(left time.Duration, deadline int64, stack []any) time.Duration {
	if deadline <= 0 || left == 0 || len(stack) == 0 {
		return left
	}
	end := time.UnixMilli(deadline >> markBits)
	if mark(end, stack[len(stack)-1]) == deadline {
		return left
	}
	if until := time.Until(end); until > 0 {
		return min(left, until)
	}
	return left
}

// stackFrom reads a call stack. An old Node client of Nameko sends it as one
// text instead of a list.
func stackFrom(value any) []any {
	switch v := value.(type) {
	case string:
		return []any{v}
	case []any:
		if !slices.ContainsFunc(v, isNoText) {
			return v
		}
		return slices.DeleteFunc(slices.Clone(v), isNoText)
	}
	return nil
}

func isNoText(v any) bool {
	_, ok := v.(string)
	return !ok
}

// milliseconds reads a positive duration; anything else is none at all, since
// a header that a stranger set must not stop a call.
func milliseconds(value any) time.Duration {
	var ms float64
	switch v := value.(type) {
	case int64:
		ms = float64(v)
	case float64:
		ms = v
	}
	if !(ms > 0) || ms > math.MaxInt64/float64(time.Millisecond) {
		return 0
	}
	return time.Duration(ms * float64(time.Millisecond))
}

// withTimeout gives ctx the deadline that every call has: its own, or that of
// the method, or the default, whichever comes first. An own deadline replaces
// the default, also by a later one.
func withTimeout(ctx context.Context, method, standard time.Duration) (context.Context, *deadline.Context) {
	limit := method
	if limit <= 0 {
		if _, ok := ctx.Deadline(); ok {
			return ctx, nil
		}
		limit = standard
	}
	d := deadline.In(ctx, limit)
	return d, d
}
