package enoki

import (
	"context"
	"maps"
	"time"

	"github.com/enoki-go/enoki/internal/deadline"
	"github.com/enoki-go/enoki/internal/trail"
)

// ContextData returns a copy of the context data of the current work. It came
// with the work's message and goes on with every call and event made with ctx.
// It is Nameko's context data.
func ContextData(ctx context.Context) map[string]any {
	own := trail.Of(ctx).Data()
	data := make(map[string]any, len(own)) // never nil: the caller may write to it
	maps.Copy(data, own)
	return data
}

// WithContextData returns a context whose calls and events carry value under
// key. Go and Python services both pass it on. [broker.Message] lists the types
// that a value may have.
func WithContextData(ctx context.Context, key string, value any) context.Context {
	return trail.With(ctx, trail.Of(ctx).WithData(key, value))
}

// CallStack returns the ids of the calls that led to the current work. The
// oldest id is first, the id of the current work is last. An id is
// service.method.uuid. CallStack is empty outside a handler.
func CallStack(ctx context.Context) []string {
	var stack []string
	for _, id := range trail.Of(ctx).IDs() {
		stack = append(stack, id.(string))
	}
	return stack
}

// CallID returns the id of the current work, which is the last id of CallStack.
// It is "" outside a handler.
func CallID(ctx context.Context) string {
	ids := trail.Of(ctx).IDs()
	if len(ids) == 0 {
		return ""
	}
	return ids[len(ids)-1].(string)
}

// MessageID returns the id of the event that the handler handles. The id stays
// the same over retries and redeliveries. It is "" outside an event handler.
func MessageID(ctx context.Context) string {
	if m := trail.Of(ctx).Event; m != nil {
		return m.ID
	}
	return ""
}

// Attempt returns the number of the current attempt at an event, from 1. It is
// 0 outside an event handler.
func Attempt(ctx context.Context) int {
	if m := trail.Of(ctx).Event; m != nil {
		return m.Attempt
	}
	return 0
}

// CallerKey is the key of the context data that carries a caller's name to
// other services. Enoki does not send the name by itself; a handler does, with
//
//	ctx = enoki.WithContextData(ctx, enoki.CallerKey, enoki.CallerOf(ctx).Name)
const CallerKey = "enoki_caller"

// Caller is the person or program that asked for the current work, such as the
// user whose token came with an HTTP request. The zero value means that the
// caller is not known.
type Caller struct {
	Name string // a user's id, a token's subject, a client's name

	// Claimed is true for a name that came with a message, under CallerKey. Every
	// client of the broker can claim any name. Log such a name, but grant nothing
	// for it that you would not grant to every client.
	Claimed bool
}

// WithCaller returns a context whose caller is name. Call it after you have
// checked the name; middleware of package web usually does. The caller holds
// for the handler and for calls within the process. Other processes get it only
// under CallerKey, and only as a claim.
func WithCaller(ctx context.Context, name string) context.Context {
	next := *trail.Of(ctx)
	next.Caller = name
	return trail.With(ctx, &next)
}

// CallerOf returns the caller of the current work. It is the caller that
// WithCaller has set, or else the one that the message claims.
func CallerOf(ctx context.Context) Caller {
	t := trail.Of(ctx)
	if t.Caller != "" {
		return Caller{Name: t.Caller}
	}
	name, _ := t.Data()[CallerKey].(string)
	return Caller{Name: name, Claimed: name != ""}
}

// withTimeout gives ctx the deadline that every call has. If ctx has a
// deadline, it replaces the default, even if it is later. A method's timeout
// always applies, and the earlier deadline wins.
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
