package enoki

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/enoki-go/enoki/fault"
)

// PerCall is a dependency that is made for one piece of work of a service and
// told its outcome, such as a database transaction that is committed when the
// handler succeeds and rolled back when it fails. It is a Part: declare it
// with the service whose handlers use it. It may be used concurrently.
type PerCall[T any] struct {
	open func(ctx context.Context) (T, error)
	end  func(ctx context.Context, value T, outcome error) error
}

// NewPerCall returns a dependency that open makes when a handler first asks
// for it, and that end is told the outcome of: nil, or the error that the
// handler or the middleware inside has returned, a panic too. The context of
// open is the handler's; that of end has its values and never ends, so that
// what was opened can be closed after a deadline.
//
// An error of end is the error of the work, beside the handler's own: a
// transaction that can't be committed is a call that has failed.
func NewPerCall[T any](open func(ctx context.Context) (T, error), end func(ctx context.Context, value T, outcome error) error) *PerCall[T] {
	return &PerCall[T]{open: open, end: end}
}

// Get returns the value of the work in hand, the same one each time. The error
// is that of open, which is not tried again for the same work, or
// Internal when ctx is not that of a handler, or its work is over.
func (p *PerCall[T]) Get(ctx context.Context) (T, error) {
	v, _ := ctx.Value(p).(*perCallValue[T])
	if v == nil {
		var none T
		return none, Errorf(Internal, "%T is asked for outside a handler: give Get the handler's context, and declare it with the service", p)
	}
	return v.get(p.open)
}

func (p *PerCall[T]) declare(s *Service) error {
	if p == nil || p.open == nil || p.end == nil {
		return fmt.Errorf("%T has no function; give NewPerCall one to open and one to end", p)
	}
	s.middleware = append(s.middleware, p.around)
	return nil
}

func (p *PerCall[T]) around(next Handler) Handler {
	return func(ctx context.Context, c *Call) (err error) {
		v := &perCallValue[T]{ctx: ctx}
		outcome := fault.ErrPanic // unless next returns
		defer func() { err = v.close(p.end, outcome, err) }()
		outcome = next(context.WithValue(ctx, p, v), c)
		return outcome
	}
}

// perCallValue is the value for one piece of work.
type perCallValue[T any] struct {
	ctx context.Context // of the work

	mu     sync.Mutex // guards what follows
	opened bool
	closed bool
	value  T
	err    error // of open
}

func (v *perCallValue[T]) get(open func(context.Context) (T, error)) (T, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		var none T
		return none, Errorf(Internal, "%T is asked for after its work was over", none)
	}
	if !v.opened {
		v.opened = true
		v.value, v.err = open(v.ctx)
	}
	return v.value, v.err
}

// close ends the value, if there is one, and returns the error of the work.
func (v *perCallValue[T]) close(end func(context.Context, T, error) error, outcome, err error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	if !v.opened || v.err != nil {
		return err
	}
	failed := end(context.WithoutCancel(v.ctx), v.value, outcome)
	if err == nil {
		return failed
	}
	return errors.Join(err, failed)
}
