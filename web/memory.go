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

// growth is how many bytes of memory one byte takes in a buffer that doubles as
// it grows.
const growth = 2

// memory is the share of one request in the service's budget.
type memory struct {
	waiting, working budget.Share
	patience         time.Duration // the time that is left to wait
	body             metered
}

func (h *handler) memory() *memory {
	return &memory{waiting: h.scope.Memory.Arrive(), working: h.scope.Memory.Work(), patience: budget.Patience}
}

// release gives everything back after the response.
func (m *memory) release() {
	m.waiting.Release()
	m.working.Release()
}

// meter counts a body as it arrives, up to most bytes. A slow client thus holds
// only what it has sent.
func (m *memory) meter(req *http.Request, most int64) {
	m.body = metered{ReadCloser: req.Body, ctx: req.Context(), memory: m, left: most}
	req.Body = &m.body
}

// decode takes what it costs to decode a body of n bytes.
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
	left   int64 // how much more may be kept in memory; negative means no limit
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

// keptPlain is how many bytes count of a body that a handler of package http
// reads. Handlers hardly keep larger bodies in memory.
const keptPlain = 1 << 20

// counted is a body that a handler reads while it has a worker. It never waits
// for memory: the holders of the memory may wait for that worker.
type counted struct {
	io.ReadCloser
	share budget.Share
	left  int64 // what is left of keptPlain
}

// count counts the body of a request as it is read. done ends that.
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

// exhausted returns the problem for a request that got no memory in time. It is
// nil if err is another error.
func exhausted(err error) *Problem {
	if !errors.Is(err, budget.ErrFull) {
		return nil
	}
	p := newProblem(http.StatusServiceUnavailable, "too much is being read at the moment, try again")
	p.Code = enoki.Unavailable
	return p
}
