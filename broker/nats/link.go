package nats

import (
	"cmp"
	"context"
	"crypto/tls"
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

	"github.com/enoki-go/enoki/internal/reminder"
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
	nc     *natsgo.Conn
	log    *slog.Logger
	config Config

	// reconnected is told, without waiting, that the link is back.
	reconnected chan struct{}

	losses      atomic.Int64 // how often the link was lost
	settles     atomic.Int64 // until when peers may be reconnecting, Unix ns
	mu          sync.Mutex   // guards what follows
	replies     *replies     // of the driver, once it has some
	lostAt      time.Time
	losing      *natsgo.Conn // is not back yet; nil before the first loss
	why         error        // it is not; nil while the link is up
	reminder    reminder.Reminder
	lastDenial  error
	denialWatch map[*context.CancelCauseFunc]struct{}
}

func newLink(c Config) *link {
	return &link{
		log:         c.Logger,
		config:      c,
		reconnected: make(chan struct{}, 1),
		denialWatch: make(map[*context.CancelCauseFunc]struct{}),
	}
}

// connect tries until a server takes us, refuses us, or ctx ends.
func (l *link) connect(ctx context.Context) error {
	c := l.config
	dialer := &dialer{ctx: ctx}
	opts := append(l.options(), c.options()...)
	if c.InProcess == nil {
		opts = append(opts, natsgo.SetCustomDialer(dialer))
	}
	var last error
	for attempt := 1; ; attempt++ {
		nc, err := natsgo.Connect(c.URL, opts...)
		if err == nil {
			l.nc = nc
			l.connected()
			dialer.connected.Store(true)
			return nil
		}
		err = c.clean(err)
		if refusal := dialer.lastError(); errors.Is(err, natsgo.ErrNoServers) && refusal != nil {
			err = refusal // which says why there is none
		}
		if what := toCheck(err); what != "" {
			return fmt.Errorf("NATS at %s refuses us: %w: %s%s", c.address(), err, what, c.whereFrom(err))
		}
		if last == nil || ctx.Err() == nil { // otherwise the one before tells more
			last = err
			l.unreachable(err)
		}
		if ctx.Err() != nil || sleep(ctx, pause(attempt)) != nil {
			return fmt.Errorf("no NATS at %s: %w (last: %w): start one, or give another URL", c.address(), context.Cause(ctx), last)
		}
	}
}

// toCheck says what people have to look at after an error that does not pass
// by itself; of others it returns "".
func toCheck(err error) string {
	for _, e := range []error{natsgo.ErrAuthorization, natsgo.ErrAuthExpired, natsgo.ErrAuthRevoked, natsgo.ErrAccountAuthExpired, natsgo.ErrNkeysNotSupported} {
		if errors.Is(err, e) {
			return "check user and password, token or credentials file"
		}
	}
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var remote *net.OpError
	var parse *url.Error
	switch {
	case errors.Is(err, natsgo.ErrSecureConnRequired):
		return "use the scheme tls"
	case errors.Is(err, natsgo.ErrSecureConnWanted):
		return "the server has no TLS; use the scheme nats, or switch it on"
	case errors.As(err, &certificate):
		return "check the server's certificate, the host of the URL and the authorities that we trust"
	case errors.As(err, &record):
		return "is the port one for TLS?"
	case errors.As(err, &remote) && remote.Op == "remote error": // an alert of TLS
		return "check the certificate that we show"
	case errors.As(err, &parse):
		return "check the URL"
	}
	return ""
}

// unreachable takes why an attempt to connect failed.
func (l *link) unreachable(err error) {
	l.mu.Lock()
	l.why = err
	due := l.reminder.Due(err.Error(), time.Now())
	l.mu.Unlock()
	if due {
		l.log.Warn("NATS can't be reached; trying again", "server", l.config.address(), "error", err)
	}
	l.config.OnUnreachable(err)
}

func (l *link) connected() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget()
}

// forget is for a link that is up; it needs mu.
func (l *link) forget() { l.why, l.reminder = nil, reminder.Reminder{} }

// reason is why the last attempt to connect failed.
func (l *link) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return cmp.Or(l.why, errDown)
}

// pauseAgain is pause for a link that was lost. It also finds the failures
// that the client tells nobody: those after the socket was opened.
func (l *link) pauseAgain(n int) time.Duration {
	l.mu.Lock()
	nc := l.losing
	l.mu.Unlock()
	if n > 1 && nc != nil { // before, it is the reason of the loss
		if err := nc.LastError(); err != nil {
			l.unreachable(err)
		}
	}
	return pause(n)
}

// dialer makes the first connection end with ctx; later ones belong to no
// caller.
type dialer struct {
	ctx       context.Context
	connected atomic.Bool
	last      atomic.Pointer[error] // of an attempt
}

func (d *dialer) lastError() error {
	if last := d.last.Load(); last != nil {
		return *last
	}
	return nil
}

func (d *dialer) Dial(network, address string) (net.Conn, error) {
	ctx := d.ctx
	if d.connected.Load() {
		ctx = context.Background()
	}
	plain := net.Dialer{Timeout: connectTimeout}
	c, err := plain.DialContext(ctx, network, address)
	if err != nil {
		d.last.Store(&err)
		return nil, err
	}
	return newConn(c), nil
}

func (l *link) options() []natsgo.Option {
	return []natsgo.Option{
		natsgo.Timeout(connectTimeout),
		natsgo.MaxReconnects(-1),
		natsgo.CustomReconnectDelay(l.pauseAgain),
		natsgo.IgnoreAuthErrorAbort(), // a password may be changed back, too
		natsgo.PingInterval(pingInterval),
		natsgo.MaxPingsOutstanding(pingsOut),
		natsgo.FlusherTimeout(0), // conn has its own
		// Nothing is kept for later while the link is down: a message whose
		// sender has given up must not go out behind its back.
		natsgo.ReconnectBufSize(-1),
		natsgo.DisconnectErrHandler(l.lost),
		natsgo.ReconnectErrHandler(func(_ *natsgo.Conn, err error) { l.unreachable(err) }),
		natsgo.ReconnectHandler(func(nc *natsgo.Conn) { l.recovered(nc) }),
		natsgo.LameDuckModeHandler(func(nc *natsgo.Conn) {
			l.log.Info("the NATS server is about to stop; the link will move on", "server", nc.ConnectedUrlRedacted())
		}),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, sub *natsgo.Subscription, err error) { l.failed(sub, err) }),
	}
}

func (l *link) lost(nc *natsgo.Conn, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		return // closed by us
	}
	l.losing = nc
	l.why = err
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
	l.forget()
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
	case toCheck(err) != "": // at each attempt
		l.unreachable(err)
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
