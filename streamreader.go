package enoki

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/callpolicy"
	"github.com/enoki-go/enoki/internal/contract"
	"github.com/enoki-go/enoki/internal/trail"
)

// openStream opens a stream of results, which the caller reads in a range loop.
// The timeout of the method or of the client applies to each reply of the
// instance. The deadline of ctx applies to the whole stream.
func (b *binding) openStream(ctx context.Context, c *Call) error {
	if b.client.near != nil {
		if callee := b.client.near(b.service); callee != nil {
			if done, err := callee.streamNear(ctx, b, c); done {
				return b.client.errors.Restore(err)
			}
		}
	}
	body, err := b.method.Request(c.in)
	if err != nil {
		return err
	}
	r := &streamReader{binding: b, ctx: ctx}
	within, cancel := context.WithTimeout(ctx, b.timeout())
	defer cancel()
	err = b.target.Do(within, b.method.Idempotent, func(within context.Context) error { return r.open(within, body) })
	if err != nil {
		return err
	}
	r.abandon = context.AfterFunc(ctx, r.close)
	c.out = []reflect.Value{seqOf(b.method, r.each)}
	return nil
}

// open asks an instance to open the stream. The message carries the deadline of
// the whole stream, not that of the opening.
func (r *streamReader) open(ctx context.Context, body []byte) error {
	b := r.binding
	m, err := b.client.message(body, trail.Of(ctx).Send(r.ctx, b.client.name))
	if err != nil {
		return Errorf(InvalidArgument, "call %s.%s: %w", b.service, b.method.Name, err)
	}
	raw, err := b.client.result(b.client.exchange(ctx, b.service, streamPrefix+openPrefix+b.method.Name, m))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &r.handle); err != nil {
		return Errorf(Internal, "call %s.%s: %s is no stream of results", b.service, b.method.Name, b.method.Excerpt(raw))
	}
	return nil
}

func (b *binding) timeout() time.Duration {
	if b.method.Timeout > 0 {
		return b.method.Timeout
	}
	return b.client.options.Timeout
}

// seqOf returns the iterator that a contract function returns. It can be ranged
// over only once.
func seqOf(m *contract.Method, each func(yield func(item reflect.Value, err error) bool)) reflect.Value {
	var begun atomic.Bool
	none := reflect.Zero(m.Item)
	return reflect.MakeFunc(m.Func.Out(0), func(args []reflect.Value) []reflect.Value {
		yield := func(item reflect.Value, err error) bool {
			if err != nil {
				item = none
			}
			return args[0].Call([]reflect.Value{item, errorValue(err)})[0].Bool()
		}
		if begun.Swap(true) {
			yield(none, Errorf(Internal, "the stream of %s() has been read; call it again for another one", m.Name))
			return nil
		}
		each(yield)
		return nil
	})
}

// streamReader reads one stream.
type streamReader struct {
	binding *binding
	ctx     context.Context // the context of the call
	handle  streamHandle
	abandon func() bool // stops the wait for the end of ctx that runs until the loop begins
}

// chunk is the reply to a pull.
type chunk struct {
	Items []json.RawMessage `json:"items"`
	End   bool              `json:"end"`
	Error *fault.Exception  `json:"error"`

	failed error // the error of the pull itself
}

// each yields the items until the end or until an error, which comes last. It
// fetches the next chunk while the loop works on the present one.
func (r *streamReader) each(yield func(reflect.Value, error) bool) {
	r.abandon()
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	chunks := make(chan *chunk)
	go r.fetch(ctx, chunks)
	for {
		var next *chunk
		select {
		case next = <-chunks:
		case <-ctx.Done():
			next = &chunk{failed: r.failure(ctx.Err())}
		}
		for _, raw := range next.Items {
			item, err := r.binding.method.DecodeItem(raw)
			if !yield(item, err) || err != nil {
				return
			}
		}
		if err := next.err(); err != nil {
			yield(reflect.Value{}, r.binding.client.errors.Restore(err))
			return
		}
		if next.End {
			return
		}
	}
}

func (c *chunk) err() error {
	if c.Error != nil {
		return c.Error.Error()
	}
	return c.failed
}

func (r *streamReader) failure(err error) error {
	return coded(err, "stream of %s.%s", r.binding.service, r.binding.method.Name)
}

// fetch pulls chunk after chunk until the last one, or until ctx ends. Then it
// tells the instance that nobody reads any more.
func (r *streamReader) fetch(ctx context.Context, chunks chan<- *chunk) {
	for number := 1; ; number++ {
		next := r.pull(ctx, number)
		if !r.hand(ctx, chunks, next) {
			r.close()
			return
		}
		if next.End || next.failed != nil {
			return
		}
	}
}

// hand gives a chunk to the loop. While the loop is busy, hand sends keeps to
// the instance.
func (r *streamReader) hand(ctx context.Context, chunks chan<- *chunk, next *chunk) bool {
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	for {
		select {
		case chunks <- next:
			return true
		case <-ctx.Done():
			return false
		case <-alive.C:
			if !next.End && next.failed == nil {
				within, cancel := context.WithTimeout(ctx, keepAlive)
				_, _ = r.ask(within, keepOp) // if it fails, the next pull returns the error
				cancel()
			}
		}
	}
}

// pull fetches one chunk. While the link fails, it tries again for as long as
// one call may take.
func (r *streamReader) pull(ctx context.Context, number int) *chunk {
	timeout := r.binding.timeout()
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	wait := min(pullWait, timeout/2).Milliseconds()
	for {
		raw, err := r.ask(within, pullOp, number, wait)
		next := &chunk{}
		switch {
		case err == nil:
			if err := json.Unmarshal(raw, next); err != nil {
				next.failed = r.failure(fmt.Errorf("chunk cannot be read: %w", err))
			}
			return next
		case errors.Is(err, UnknownService):
			next.failed = Errorf(Unavailable, "stream of %s.%s: the instance that it came from is gone", r.binding.service, r.binding.method.Name)
			return next
		case !callpolicy.MayRepeat(err, true):
			next.failed = err
			return next
		}
		select {
		case <-time.After(insistence):
		case <-within.Done():
			next.failed = err
			return next
		}
	}
}

// close tells the instance that nobody reads the stream any more.
func (r *streamReader) close() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), readerLost)
	defer cancel()
	_, _ = r.ask(ctx, closeOp) // if it fails, the instance forgets the stream after readerLost
}

// ask sends one operation to the instance that has the stream.
func (r *streamReader) ask(ctx context.Context, operation string, args ...any) (json.RawMessage, error) {
	body, _ := json.Marshal(map[string]any{"args": append([]any{r.handle.Stream}, args...), "kwargs": struct{}{}}) // strings and numbers always marshal
	c := r.binding.client
	return c.result(c.requestTo(ctx, r.binding.service, r.handle.Instance, streamPrefix+operation, body))
}

// streamNear opens a stream of a service in the same process. The caller's
// goroutine reads it without encoding.
func (i *instance) streamNear(ctx context.Context, b *binding, c *Call) (done bool, err error) {
	s, ok := i.methods[b.method.Name]
	if !ok || s.Func != b.method.Func || !i.calls.enter() {
		return false, nil
	}
	defer i.calls.leave()
	within, cancel := context.WithCancel(ctx)
	inner := &Call{Kind: entrypoint.RPC, Service: i.service.name, Method: b.method.Name, in: c.in, sensitive: s.Sensitive}
	err = s.handle(trail.Enter(within, trail.Of(ctx), i.service.name, b.method.Name, i.process.options.CallsTracked), inner)
	if err == nil && inner.out[0].IsNil() {
		err = Errorf(Internal, "%s() returned neither a stream nor an error", b.method.Name)
	}
	if err != nil {
		cancel()
		i.logFailure(ctx, inner, err)
		return true, i.errors.Answer(err)
	}
	unread := time.AfterFunc(readerLost, cancel)
	c.out = []reflect.Value{seqOf(b.method, func(yield func(reflect.Value, error) bool) {
		defer cancel()
		unread.Stop()
		i.readNear(within, inner, func(item reflect.Value, err error) bool {
			return yield(item, b.client.errors.Restore(err))
		})
	})}
	return true, nil
}

// readNear yields the items of a stream of a service in the same process.
func (i *instance) readNear(ctx context.Context, c *Call, yield func(reflect.Value, error) bool) {
	if !i.calls.enter() {
		yield(reflect.Value{}, Errorf(Unavailable, "service %s has stopped", i.service.name))
		return
	}
	defer i.calls.leave()
	end := func(err error) {
		i.logFailure(ctx, c, err)
		yield(reflect.Value{}, i.errors.Answer(err))
	}
	reading := false // true while the reader's loop runs: a panic is its own then
	defer func() {
		if reading {
			return
		}
		if p := recover(); p != nil {
			err := fault.Panicked(p)
			logPanic(ctx, i.log, "stream of "+c.Method+"()", err)
			reading = true
			end(err)
		}
	}()
	for item, failed := range c.out[0].Seq2() {
		err := ctx.Err()
		if !failed.IsNil() {
			err = failed.Interface().(error)
			i.errors.Probe(err)
		}
		reading = true
		if err != nil {
			end(err)
			return
		}
		more := yield(item, nil)
		reading = false
		if !more {
			return
		}
	}
}
