package web

import (
	"context"
	"net/http"

	"github.com/enoki-go/enoki/internal/deadline"
)

// exchange is one request to a route and its response.
type exchange struct {
	route   *Route
	request *http.Request
	answer  *answer
	within  exchangeContext
	limit   deadline.Context // the handler's, if it has one
}

type exchangeKey struct{}

// newExchange returns the exchange of a request.
func newExchange(req *http.Request, r *Route, a *answer) *exchange {
	e := &exchange{route: r, request: req, answer: a}
	e.within = exchangeContext{req.Context(), e}
	return e
}

// exchangeContext is a context from which exchangeOf gets the exchange. It is
// part of the exchange, to save an allocation.
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

// Context returns the request's context, from which call gets the exchange.
func (e *exchange) Context() context.Context { return &e.within }
