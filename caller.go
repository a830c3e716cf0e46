package enoki

import (
	"context"
	"log/slog"
)

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
	next := *trailOf(ctx)
	next.caller = name
	return withTrail(ctx, &next)
}

// CallerOf returns the caller of the work in hand: the one that WithCaller has
// set, else the one that the message claims.
func CallerOf(ctx context.Context) Caller {
	t := trailOf(ctx)
	if t.caller != "" {
		return Caller{Name: t.caller}
	}
	name, _ := t.data[CallerKey].(string)
	return Caller{Name: name, Claimed: name != ""}
}

// LogHandler returns a handler for package slog that adds to each line which
// is logged with a context who asked for the work in hand: as "caller", or as
// "claimed_caller" when nobody has checked the name. The lines of Enoki have
// it by themselves, and so has the logger of package host.
func LogHandler(next slog.Handler) slog.Handler {
	if h, ok := next.(logHandler); ok {
		return h
	}
	return logHandler{next}
}

type logHandler struct{ slog.Handler }

func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	if c := CallerOf(ctx); c.Name != "" {
		key := "caller"
		if c.Claimed {
			key = "claimed_caller"
		}
		r = r.Clone()
		r.AddAttrs(slog.String(key, c.Name))
	}
	return h.Handler.Handle(ctx, r)
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}

func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.Handler.WithGroup(name)}
}
