// Package budget bounds the memory that a process spends on data that arrives.
// A reader of a request first takes the bytes that it needs. It waits while
// others have them.
package budget

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ErrFull is the error when bytes did not become free in time.
var ErrFull = errors.New("memory for what arrives is used up")

// Patience is how long one request or frame waits for bytes, all its waits taken
// together, before its sender is told to come later.
const Patience = 5 * time.Second

// Decoding is how many bytes of memory a byte of a text takes that is decoded,
// about, at worst: a list of numbers of one digit in a field of any type takes
// 8 for each interface, 8 for each number, and half of it again while it grows.
const Decoding = 16

// Budget is bytes in two halves: for what has come and waits, and for what is
// being decoded and handled. Who has of the second never waits for the first,
// so what is being handled always ends. Nil has no bound. Its methods may be
// called concurrently.
//
// What comes in pieces could take all of the first half without one of it being
// whole. So one share at a time leads: it gets what it asks for, beyond the
// half if need be, until it is released.
type Budget struct {
	waiting, working pool
}

// New returns a budget of so many bytes.
func New(bytes int64) *Budget {
	half := max(bytes/2, 1)
	return &Budget{waiting: pool{free: half, size: half}, working: pool{free: half, size: half}}
}

// Arrive returns a share of the half for what waits, for what comes in pieces;
// it has nothing yet.
func (b *Budget) Arrive() Share {
	s := b.Wait()
	s.pieces = true
	return s
}

// Wait returns a share of the half for what waits; it has nothing yet.
func (b *Budget) Wait() Share {
	if b == nil {
		return Share{}
	}
	return Share{pool: &b.waiting}
}

// Work returns a share of the half for what is handled; it has nothing yet.
func (b *Budget) Work() Share {
	if b == nil {
		return Share{}
	}
	return Share{pool: &b.working}
}

// Used returns how many bytes are taken.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.waiting.used() + b.working.used()
}

// Total returns how many bytes there are; 0 is no bound.
func (b *Budget) Total() int64 {
	if b == nil {
		return 0
	}
	return b.waiting.size + b.working.size
}

// Share is what one request or frame has. It belongs to one goroutine at a
// time, and is not copied once it has something.
type Share struct {
	pool   *pool // nil has no bound
	has    int64
	pieces bool // it may lead
}

// Take adds n bytes to the share. It waits, first come first served, until they
// are free or ctx ends, which is an ErrFull then. A share never has more than
// all there is: what needs more is alone.
func (s *Share) Take(ctx context.Context, n int64) error {
	if s.pool == nil {
		return nil
	}
	n = min(n, s.pool.size-s.has)
	if n <= 0 {
		return nil
	}
	if err := s.pool.take(ctx, s, n); err != nil {
		return err
	}
	s.has += n
	return nil
}

// Add is Take for what is there already and can't wait: it takes beyond what is
// free, and others wait for it.
func (s *Share) Add(n int64) {
	if s.pool == nil {
		return
	}
	n = min(n, s.pool.size-s.has)
	if n > 0 {
		s.pool.add(n)
		s.has += n
	}
}

// TakeWithin is Take that waits no longer than *patience, from which it
// subtracts how long it has waited.
func (s *Share) TakeWithin(ctx context.Context, n int64, patience *time.Duration) error {
	if s.TryTake(n) { // as almost always, and without a timer
		return nil
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, *patience)
	defer cancel()
	err := s.Take(ctx, n)
	*patience -= time.Since(start)
	return err
}

// TryTake is Take without waiting.
func (s *Share) TryTake(n int64) bool {
	if s.pool == nil {
		return true
	}
	n = min(n, s.pool.size-s.has)
	if n > 0 && !s.pool.tryTake(s, n) {
		return false
	}
	s.has += max(n, 0)
	return true
}

// Release gives back what the share has. It may be called again.
func (s *Share) Release() {
	if s.pool != nil && s.has > 0 {
		s.pool.give(s, s.has)
		s.has = 0
	}
}

// pool is bytes, and who waits for some.
type pool struct {
	size int64

	mu    sync.Mutex // guards what follows
	free  int64      // negative for what the lead, and Add, have beyond
	queue []*waiter  // first come first served
	lead  *Share     // nil while no share in pieces has had to wait
}

type waiter struct {
	share *Share
	n     int64
	ready chan struct{} // closed when it has its bytes
}

func (p *pool) used() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size - p.free
}

func (p *pool) tryTake(s *Share, n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.grab(s, n)
}

func (p *pool) add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free -= n
}

// grab takes n bytes if nobody was there first, or s leads.
func (p *pool) grab(s *Share, n int64) bool {
	if p.lead != s && (len(p.queue) > 0 || p.free < n) {
		return false
	}
	p.free -= n
	return true
}

func (p *pool) take(ctx context.Context, s *Share, n int64) error {
	p.mu.Lock()
	if p.grab(s, n) {
		p.mu.Unlock()
		return nil
	}
	w := &waiter{share: s, n: n, ready: make(chan struct{})}
	p.queue = append(p.queue, w)
	p.serve()
	p.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	p.leave(w)
	return fmt.Errorf("%w: %d bytes were not free in time: %w", ErrFull, n, ctx.Err())
}

// leave takes w out of the queue, or gives back what it just got.
func (p *pool) leave(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.queue, w); i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
	} else {
		p.back(w.share, w.n)
	}
	p.serve() // those behind it may need less
}

func (p *pool) give(s *Share, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.back(s, n)
	p.serve()
}

// back takes n bytes back from a share, which does not lead any more.
func (p *pool) back(s *Share, n int64) {
	p.free += n
	if p.lead == s {
		p.lead = nil
	}
}

// serve gives bytes to those who wait longest, as far as they go, and the lead
// to the first who needs it.
func (p *pool) serve() {
	for len(p.queue) > 0 && p.queue[0].n <= p.free {
		p.grant(0)
	}
	if p.lead != nil {
		return
	}
	if i := slices.IndexFunc(p.queue, func(w *waiter) bool { return w.share.pieces }); i >= 0 {
		p.lead = p.queue[i].share
		p.grant(i)
	}
}

// grant gives the i-th who waits what it waits for.
func (p *pool) grant(i int) {
	w := p.queue[i]
	p.queue = slices.Delete(p.queue, i, i+1)
	p.free -= w.n
	close(w.ready)
}
