package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

const (
	// A link is tried again after 100 ms at first and 30 s at last, each time
	// after a random part of the pause: the clients of a broker that comes
	// back must not all come at once.
	firstPause = 100 * time.Millisecond
	lastPause  = 30 * time.Second

	// A link that is dead without saying so is noticed after the third ping
	// without an answer: 18 s.
	pingInterval = 6 * time.Second
	pingsOut     = 2

	// connectTimeout is for one attempt to reach one server.
	connectTimeout = 2 * time.Second

	// settleLeast is how long after a recovered link a service may still be
	// missing because its instances have not reconnected yet.
	settleLeast = 2 * time.Second
)

// pause returns how long to wait after the nth attempt, counted from 1.
func pause(n int) time.Duration {
	most := lastPause
	if n < 10 { // 100 ms << 9 is more than lastPause
		most = firstPause << (n - 1)
	}
	return time.Millisecond + rand.N(most)
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// link is the connection and what is known of its health.
type link struct {
	nc  *natsgo.Conn
	log *slog.Logger

	// reconnected is told, without waiting, that the link is back.
	reconnected chan struct{}

	losses      atomic.Int64 // how often the link was lost
	settles     atomic.Int64 // until when peers may be reconnecting, Unix ns
	mu          sync.Mutex   // guards what follows
	replies     *replies     // of the driver, once it has some
	lostAt      time.Time
	lastDenial  error
	denialWatch map[*context.CancelCauseFunc]struct{}
}

func newLink(log *slog.Logger) *link {
	return &link{
		log:         log,
		reconnected: make(chan struct{}, 1),
		denialWatch: make(map[*context.CancelCauseFunc]struct{}),
	}
}

// connect tries until a server takes us, refuses us, or ctx ends.
func (l *link) connect(ctx context.Context, c Config) error {
	dialer := &dialer{ctx: ctx}
	opts := append(l.options(), c.options()...)
	if c.InProcess == nil {
		opts = append(opts, natsgo.SetCustomDialer(dialer))
	}
	for attempt := 1; ; attempt++ {
		nc, err := natsgo.Connect(c.URL, opts...)
		if err == nil {
			l.nc = nc
			dialer.connected.Store(true)
			return nil
		}
		err = c.clean(err)
		if refused(err) {
			return fmt.Errorf("NATS at %s refuses us: %w: check user and password, token or credentials file", c.address(), err)
		}
		if ctx.Err() != nil || sleep(ctx, pause(attempt)) != nil {
			return fmt.Errorf("no NATS at %s: %w (last: %w): start one, or give another URL", c.address(), context.Cause(ctx), err)
		}
	}
}

// refused tells whether trying again can't help.
func refused(err error) bool {
	for _, e := range []error{
		natsgo.ErrAuthorization, natsgo.ErrAuthExpired, natsgo.ErrAuthRevoked, natsgo.ErrAccountAuthExpired,
		natsgo.ErrNkeysNotSupported, natsgo.ErrSecureConnRequired, natsgo.ErrSecureConnWanted,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	var parse *url.Error
	return errors.As(err, &parse)
}

// dialer makes the first connection end with ctx; later ones belong to no
// caller.
type dialer struct {
	ctx       context.Context
	connected atomic.Bool
}

func (d *dialer) Dial(network, address string) (net.Conn, error) {
	ctx := d.ctx
	if d.connected.Load() {
		ctx = context.Background()
	}
	plain := net.Dialer{Timeout: connectTimeout}
	c, err := plain.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return newConn(c), nil
}

func (l *link) options() []natsgo.Option {
	return []natsgo.Option{
		natsgo.Timeout(connectTimeout),
		natsgo.MaxReconnects(-1),
		natsgo.CustomReconnectDelay(pause),
		natsgo.IgnoreAuthErrorAbort(), // a password may be changed back, too
		natsgo.PingInterval(pingInterval),
		natsgo.MaxPingsOutstanding(pingsOut),
		natsgo.FlusherTimeout(0), // conn has its own
		// Nothing is kept for later while the link is down: a message whose
		// sender has given up must not go out behind its back.
		natsgo.ReconnectBufSize(-1),
		natsgo.DisconnectErrHandler(func(_ *natsgo.Conn, err error) { l.lost(err) }),
		natsgo.ReconnectHandler(func(nc *natsgo.Conn) { l.recovered(nc) }),
		natsgo.LameDuckModeHandler(func(nc *natsgo.Conn) {
			l.log.Info("the NATS server is about to stop; the link will move on", "server", nc.ConnectedUrlRedacted())
		}),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, sub *natsgo.Subscription, err error) { l.failed(sub, err) }),
	}
}

func (l *link) lost(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		return // closed by us
	}
	l.losses.Add(1)
	l.settles.Store(time.Now().Add(time.Hour).UnixNano()) // until recovered says better
	l.lostAt = time.Now()
	if l.replies != nil {
		l.replies.lost()
	}
	l.log.Warn("the link to NATS is lost; trying again for ever", "error", err)
}

func (l *link) recovered(nc *natsgo.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	away := time.Since(l.lostAt)
	l.settles.Store(time.Now().Add(min(max(away, settleLeast), lastPause)).UnixNano())
	l.log.Info("the link to NATS is back", "server", nc.ConnectedUrlRedacted(), "after", away.Round(time.Millisecond))
	l.repair()
}

// repair asks the driver to prove and mend what hangs on the link.
func (l *link) repair() {
	select {
	case l.reconnected <- struct{}{}:
	default: // is asked already
	}
}

// settling tells whether other members may be missing only because their links
// have not recovered yet.
func (l *link) settling() bool { return time.Now().UnixNano() < l.settles.Load() }

// endsRequests has r told when the link is lost.
func (l *link) endsRequests(r *replies) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replies = r
}

// failed takes the errors that belong to no call.
func (l *link) failed(sub *natsgo.Subscription, err error) {
	switch {
	case errors.Is(err, natsgo.ErrSlowConsumer) && sub != nil:
		dropped, _ := sub.Dropped()
		l.log.Error("requests are lost: they come faster than the workers handle them", "subject", sub.Subject, "so far", dropped)
	case errors.Is(err, natsgo.ErrPermissionViolation):
		l.denied(err)
	default:
		l.log.Warn("NATS reports an error", "error", err)
	}
}

func (l *link) denied(err error) {
	l.log.Error("NATS denies a permission", "error", err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastDenial = err
	if l.replies != nil {
		l.replies.denied(err)
	}
	for cancel := range l.denialWatch {
		(*cancel)(err)
	}
}

// untilDenied returns a context that also ends when the server denies us a
// permission: requests that are denied get no answer otherwise.
func (l *link) untilDenied(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.denialWatch[&cancel] = struct{}{}
	return ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.denialWatch, &cancel)
		cancel(nil)
	}
}

// denial returns the last permission that was denied if it was for subject.
func (l *link) denial(subject string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lastDenial != nil && strings.Contains(l.lastDenial.Error(), `"`+subject+`"`) {
		return l.lastDenial
	}
	return nil
}

// isDenied tells whether the server says by err that nothing may be published
// to subject.
func isDenied(err error, subject string) bool {
	return strings.Contains(err.Error(), ` Publish to "`+subject+`"`)
}

// await waits until the link is up, or ctx or closed ends.
func (l *link) await(ctx context.Context, closed <-chan struct{}) error {
	up := l.nc.StatusChanged(natsgo.CONNECTED)
	defer l.nc.RemoveStatusListener(up)
	if l.nc.IsConnected() {
		return nil
	}
	select {
	case <-up:
		return nil
	case <-closed:
		return errClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// epoch changes whenever the link was replaced.
func (l *link) epoch() uint64 { return l.nc.Stats().Reconnects }

// since tells whether the server is of this version or a later one.
func (l *link) since(major, minor int) bool {
	var is [2]int
	if _, err := fmt.Sscanf(l.nc.ConnectedServerVersion(), "%d.%d.", &is[0], &is[1]); err != nil {
		return false
	}
	return is[0] > major || is[0] == major && is[1] >= minor
}
