package web

import (
	"context"
	"mime"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

type humaContext = huma.Context // an embedded field must not be called Context

// exchange is one request to a typed route and its answer, as huma sees it.
type exchange struct {
	humaContext
	route  *Route
	answer *answer
	status int // set to answer with another status than huma's
}

type exchangeKey struct{}

func withExchange(ctx context.Context, e *exchange) context.Context {
	return context.WithValue(ctx, exchangeKey{}, e)
}

func exchangeOf(ctx context.Context) *exchange {
	return ctx.Value(exchangeKey{}).(*exchange)
}

// Context returns the request's context, in which call finds the exchange.
func (e *exchange) Context() context.Context {
	return withExchange(e.humaContext.Context(), e)
}

// SetStatus lets the table of codes choose the status of a refusal.
func (e *exchange) SetStatus(status int) {
	if e.status != 0 {
		status = e.status
	}
	e.humaContext.SetStatus(status)
}

// SetReadDeadline does nothing: http.Server has the timeout, and ends it when
// the body is there. Huma's own, 5 s, stays set after a body that was empty,
// and then cancels the context of a handler that is still at work.
func (e *exchange) SetReadDeadline(time.Time) error { return nil }

// Header returns a request's header. The media type is brought to one form,
// since huma looks it up as it is written.
func (e *exchange) Header(name string) string {
	value := e.humaContext.Header(name)
	if name != "Content-Type" || value == jsonType || value == "" {
		return value
	}
	if media, _, err := mime.ParseMediaType(value); err == nil {
		return media
	}
	return value
}
