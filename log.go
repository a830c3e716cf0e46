package enoki

import (
	"context"
	"log/slog"
)

// LogHandler returns a slog handler that adds the caller of the current work to
// each line that is logged with a context. The attribute is "caller", or
// "claimed_caller" if nobody has checked the name. Enoki's own lines have it
// anyway, and so has the logger of package host.
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
