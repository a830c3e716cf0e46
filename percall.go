package enoki

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/enoki-go/enoki/fault"
)

// PerCall is a dependency that lives as long as one piece of work and learns
// its outcome. An example is a database transaction: it is committed if the
// handler succeeds and rolled back if the handler fails. A PerCall is a Part;
// declare it with the service whose handlers use it. It may be used
// concurrently.
type PerCall[T any] struct {
	open func(ctx context.Context) (T, error)
	end  func(ctx context.Context, value T, outcome error) error
}

// NewPerCall returns a dependency with the functions open and end. open makes
// the value when a handler first asks for it. end gets the value and the
// outcome of the work: nil, or the error of the handler or of the middleware
// inside. After a panic the outcome is fault.ErrPanic. open gets the handler's
// context. The context of end has the same values but never ends, so that end
// can still close the value after a deadline.
//
// An error of end is added to the error of the work, because a transaction that
// can't be committed is a failed call.
func NewPerCall[T any](open func(ctx context.Context) (T, error), end func(ctx context.Context, value T, outcome error) error) *PerCall[T] {
	return &PerCall[T]{open: open, end: end}
}

// Get returns the value of the current work, always the same one. Its error is
// that of open, which is called only once for the same work. The error is
// Internal if ctx is not the context of a handler, or if the work is over. Get
// blocks while open runs.
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
		outcome := fault.ErrPanic // stays if next does not return
		defer func() { err = v.close(p.end, outcome, err) }()
		outcome = next(context.WithValue(ctx, p, v), c)
		return outcome
	}
}

// perCallValue is the value of one piece of work.
type perCallValue[T any] struct {
	ctx context.Context // the context of the work

	mu     sync.Mutex // guards the fields below
	opened bool
	closed bool
	value  T
	err    error // the error of open
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

// close ends the value if there is one. It returns the error of the work.
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
