package enoki

import (
	"context"
	"maps"
	"time"

	"github.com/enoki-go/enoki/internal/deadline"
	"github.com/enoki-go/enoki/internal/trail"
)

// ContextData returns a copy of the data that came with the work in hand and
// goes on with every call and event made with ctx: Nameko's context data.
func ContextData(ctx context.Context) map[string]any {
	own := trail.Of(ctx).Data()
	data := make(map[string]any, len(own)) // never nil: its owner may write
	maps.Copy(data, own)
	return data
}

// WithContextData returns a context whose calls and events carry value under
// key, through Go and Python services alike. Values are those that
// [broker.Message] lists.
func WithContextData(ctx context.Context, key string, value any) context.Context {
	return trail.With(ctx, trail.Of(ctx).WithData(key, value))
}

// CallStack returns the ids of the calls that led to the work in hand, oldest
// first, its own last. An id is service.method.uuid. It is empty outside a
// handler.
func CallStack(ctx context.Context) []string {
	var stack []string
	for _, id := range trail.Of(ctx).IDs() {
		stack = append(stack, id.(string))
	}
	return stack
}

// CallID returns the id of the work in hand: the last of CallStack, or "".
func CallID(ctx context.Context) string {
	ids := trail.Of(ctx).IDs()
	if len(ids) == 0 {
		return ""
	}
	return ids[len(ids)-1].(string)
}

// MessageID returns the id of the event in hand, which stays the same over
// retries and redeliveries; "" outside an event handler.
func MessageID(ctx context.Context) string {
	if m := trail.Of(ctx).Event; m != nil {
		return m.ID
	}
	return ""
}

// Attempt returns which attempt at the event in hand this is, from 1; 0
// outside an event handler.
func Attempt(ctx context.Context) int {
	if m := trail.Of(ctx).Event; m != nil {
		return m.Attempt
	}
	return 0
}

// CallerKey is the key of context data under which the name of a caller goes
// on to other services, when a handler says so:
//
//	ctx = enoki.WithContextData(ctx, enoki.CallerKey, enoki.CallerOf(ctx).Name)
const CallerKey = "enoki_caller"

// Caller is who asked for the work in hand, such as the user whose token came
// with an HTTP request. The zero value is nobody that is known.
type Caller struct {
	Name string // a user's id, a token's subject, a client's name

	// Claimed is true for a name that came with a message, under CallerKey.
	// Whoever may send on the broker can claim any name: log it, and grant
	// nothing for it that you would not grant to each of them.
	Claimed bool
}

// WithCaller returns a context whose caller is name, which somebody has
// checked in this process: middleware of package web, as a rule. It holds for
// the handler and for calls within the process. It goes on to other processes
// only as a claim, and only under CallerKey.
func WithCaller(ctx context.Context, name string) context.Context {
	next := *trail.Of(ctx)
	next.Caller = name
	return trail.With(ctx, &next)
}

// CallerOf returns the caller of the work in hand: the one that WithCaller has
// set, else the one that the message claims.
func CallerOf(ctx context.Context) Caller {
	t := trail.Of(ctx)
	if t.Caller != "" {
		return Caller{Name: t.Caller}
	}
	name, _ := t.Data()[CallerKey].(string)
	return Caller{Name: name, Claimed: name != ""}
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
