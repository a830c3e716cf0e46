package web

import (
	"context"
	"mime"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/enoki-go/enoki/internal/deadline"
)

type humaContext = huma.Context // an embedded field must not be called Context

// exchange is one request to a typed route and its answer, as huma sees it.
type exchange struct {
	humaContext
	route  *Route
	answer *answer
	status int // set to answer with another status than huma's
	within exchangeContext
	limit  deadline.Context // of the handler, when it has one
}

type exchangeKey struct{}

// newExchange returns the exchange of a request whose context is ctx; h is nil
// when huma has no part in it.
func newExchange(ctx context.Context, h humaContext, r *Route, a *answer) *exchange {
	e := &exchange{humaContext: h, route: r, answer: a}
	e.within = exchangeContext{ctx, e}
	return e
}

// exchangeContext is a context in which exchangeOf finds an exchange. It lies
// in the exchange, to be made with it.
type exchangeContext struct {
	context.Context
	exchange *exchange
}

func (c *exchangeContext) Value(key any) any {
	if key == (exchangeKey{}) {
		return c.exchange
	}
	return c.Context.Value(key)
}

func exchangeOf(ctx context.Context) *exchange {
	return ctx.Value(exchangeKey{}).(*exchange)
}

// Context returns the request's context, in which call finds the exchange.
func (e *exchange) Context() context.Context { return &e.within }

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
