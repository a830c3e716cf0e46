package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/internal/budget"
)

// growth is how much of memory a byte takes that is read into a buffer which
// doubles as it grows.
const growth = 2

// memory is what one request has of the service's budget.
type memory struct {
	waiting, working budget.Share
	patience         time.Duration // that is left
	body             metered
}

func (h *handler) memory() *memory {
	return &memory{waiting: h.scope.Memory.Arrive(), working: h.scope.Memory.Work(), patience: budget.Patience}
}

// release gives all back, once the request is answered.
func (m *memory) release() {
	m.waiting.Release()
	m.working.Release()
}

// meter has a body count as it comes, so that a slow client has what it has
// sent, up to most bytes.
func (m *memory) meter(req *http.Request, most int64) {
	m.body = metered{ReadCloser: req.Body, ctx: req.Context(), memory: m, left: most}
	req.Body = &m.body
}

// decode takes what decoding a body of n bytes costs.
func (m *memory) decode(ctx context.Context, n int) error {
	if err := m.working.TakeWithin(ctx, int64(n)*budget.Decoding, &m.patience); err != nil {
		return err
	}
	m.waiting.Release()
	return nil
}

// metered is a body that is counted while it is read.
type metered struct {
	io.ReadCloser
	ctx    context.Context
	memory *memory
	left   int64 // that may still be kept in memory; negative for no limit
}

func (b *metered) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	counted := int64(n)
	if b.left >= 0 {
		counted = min(counted, b.left)
		b.left -= counted
	}
	if full := b.memory.waiting.TakeWithin(b.ctx, counted*growth, &b.memory.patience); full != nil {
		return 0, full
	}
	return n, err
}

// keptPlain is how much of a body counts that a handler of package http reads,
// in bytes; what is larger is hardly kept in memory.
const keptPlain = 1 << 20

// counted is a body that a handler reads while it has a worker. It never waits:
// what has the memory may be waiting for that worker.
type counted struct {
	io.ReadCloser
	share budget.Share
	left  int64 // of keptPlain
}

// count has the body of a request count as it is read, and returns what ends
// that.
func (h *handler) count(req *http.Request) (done func()) {
	if req.Body == nil || req.Body == http.NoBody {
		return func() {}
	}
	b := &counted{ReadCloser: req.Body, share: h.scope.Memory.Work(), left: keptPlain}
	req.Body = b
	return b.share.Release
}

func (b *counted) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	kept := min(int64(n), b.left)
	b.left -= kept
	b.share.Add(kept * growth)
	return n, err
}

// exhausted is the answer to a request for which there was no memory in time,
// or nil when err is another.
func exhausted(err error) *Problem {
	if !errors.Is(err, budget.ErrFull) {
		return nil
	}
	p := newProblem(http.StatusServiceUnavailable, "too much is being read at the moment, try again")
	p.Code = enoki.Unavailable
	return p
}
