package enoki

import (
	"context"
	"maps"
	"math"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/uuid"
)

// Keys of the context data that are Enoki's own. The stack is Nameko's. The
// remaining time is in milliseconds and relative, as clocks differ between
// machines; a Python service hands it on like any other key.
const (
	stackKey   = "call_id_stack"
	timeoutKey = "enoki_timeout_ms"
)

// trail is what a context carries over every hop. It is never changed once a
// context has it.
type trail struct {
	stack []string
	data  map[string]any
}

type trailKey struct{}

func trailOf(ctx context.Context) *trail {
	if t, ok := ctx.Value(trailKey{}).(*trail); ok {
		return t
	}
	return &trail{}
}

func withTrail(ctx context.Context, t *trail) context.Context {
	return context.WithValue(ctx, trailKey{}, t)
}

// ContextData returns a copy of the data that came with the work in hand and
// goes on with every call and event made with ctx: Nameko's context data.
func ContextData(ctx context.Context) map[string]any {
	return maps.Clone(trailOf(ctx).data)
}

// WithContextData returns a context whose calls and events carry value under
// key, through Go and Python services alike. Values are those that
// [broker.Message] lists.
func WithContextData(ctx context.Context, key string, value any) context.Context {
	t := trailOf(ctx)
	data := make(map[string]any, len(t.data)+1)
	maps.Copy(data, t.data)
	data[key] = value
	return withTrail(ctx, &trail{stack: t.stack, data: data})
}

// WithMessage returns the context of work that m has brought: with its context
// data, and its call stack below the id of the handler. It is for extensions,
// before Scope.Handle.
func WithMessage(ctx context.Context, m *broker.Message) context.Context {
	t, _ := receive(m)
	return withTrail(ctx, t)
}

// CallStack returns the ids of the calls that led to the work in hand, oldest
// first, its own last. An id is service.method.uuid. It is empty outside a
// handler.
func CallStack(ctx context.Context) []string {
	return append([]string(nil), trailOf(ctx).stack...)
}

// CallID returns the id of the work in hand: the last of CallStack, or "".
func CallID(ctx context.Context) string {
	stack := trailOf(ctx).stack
	if len(stack) == 0 {
		return ""
	}
	return stack[len(stack)-1]
}

// enter returns the context of a handler: the caller's trail with the
// handler's own id on top, and no more than tracked callers below it.
func (t *trail) enter(ctx context.Context, service, method string, tracked int) context.Context {
	stack := make([]string, 0, len(t.stack)+1)
	stack = append(stack, t.stack...)
	stack = append(stack, newCallID(service, method))
	if extra := len(stack) - (tracked + 1); extra > 0 {
		stack = stack[extra:]
	}
	return withTrail(ctx, &trail{stack: stack, data: t.data})
}

func newCallID(service, method string) string {
	return service + "." + method + "." + uuid.New()
}

// send returns the context data of an outgoing message. Work that starts
// outside a service gets an id of its own.
func (t *trail) send(ctx context.Context, sender string) map[string]any {
	data := make(map[string]any, len(t.data)+2)
	maps.Copy(data, t.data)
	stack := t.stack
	if len(stack) == 0 {
		stack = []string{newCallID(sender, "call")}
	}
	ids := make([]any, len(stack))
	for i, id := range stack {
		ids[i] = id
	}
	data[stackKey] = ids
	if deadline, ok := ctx.Deadline(); ok {
		data[timeoutKey] = max(1, time.Until(deadline).Milliseconds())
	}
	return data
}

// receive splits the context data of a message into the trail and the
// remaining time, which is 0 when the sender gave none.
func receive(m *broker.Message) (*trail, time.Duration) {
	t := &trail{data: make(map[string]any, len(m.Context))}
	var left time.Duration
	for key, value := range m.Context {
		switch key {
		case stackKey:
			t.stack = stackFrom(value)
		case timeoutKey:
			left = milliseconds(value)
		default:
			t.data[key] = value
		}
	}
	return t, left
}

// stackFrom reads a call stack. An old Node client of Nameko sends it as one
// text instead of a list.
func stackFrom(value any) []string {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		stack := make([]string, 0, len(v))
		for _, id := range v {
			if text, ok := id.(string); ok {
				stack = append(stack, text)
			}
		}
		return stack
	}
	return nil
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
func withTimeout(ctx context.Context, method, standard time.Duration) (context.Context, context.CancelFunc) {
	if method > 0 {
		return context.WithTimeout(ctx, method)
	}
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, standard)
}
