package enoki

import (
	"context"
	"log/slog"
)

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
