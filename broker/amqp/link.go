package amqp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
	"github.com/enoki-go/enoki/internal/reminder"
)

const (
	dialTimeout  = 10 * time.Second // TCP, TLS and AMQP handshakes together
	closeTimeout = 2 * time.Second  // of a polite goodbye
	maxFrame     = 128 << 10        // bytes of a frame, RabbitMQ's default

	// refusedPause is added to the wait while the broker refuses us, so that a
	// wrong password does not look like an attack.
	refusedPause = 5 * time.Second
)

// pauseAfter leaves out the first refusal: a broker that dies during the
// handshake can't be told from one that refuses the password.
func pauseAfter(refusals int) time.Duration {
	if refusals > 1 {
		return refusedPause
	}
	return 0
}

// link is one supervised connection. run keeps it up; everyone else asks for
// the session of the moment.
type link struct {
	role    string // "publish" or "consume", for people
	address address
	config  Config
	log     *slog.Logger
	twin    *link // the other link to the same broker

	reminder reminder.Reminder // of unreachable

	mu      sync.Mutex
	session *session      // nil while down
	last    error         // why it is down
	changed chan struct{} // closed when session or closed changes
	up      chan struct{} // closed when there is a session again
	closed  bool
}

// session is the life of one connection.
type session struct {
	*wire.Conn
	since time.Time

	silent atomic.Bool // the broker did not answer a goodbye in time

	largest atomic.Int64 // body that the broker has said it takes; 0 while it has not

	mu    sync.Mutex
	known map[string]bool // what was declared
	free  chan struct{}   // closed while the broker takes messages
	alarm string          // why it does not
}

// newLinks returns a link that consumes and one that publishes.
func newLinks(a address, c Config) (consuming, publishing *link) {
	link := func(role string) *link {
		return &link{role: role, address: a, config: c, log: c.Logger.With("link", role, "broker", a.masked),
			changed: make(chan struct{}), up: make(chan struct{})}
	}
	consuming, publishing = link("consume"), link("publish")
	consuming.twin, publishing.twin = publishing, consuming
	return consuming, publishing
}

var errLost = errors.New("connection lost")

// refusal is the broker's refusal of who we are: trying again does not help.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// connect makes the first connection.
func (l *link) connect(ctx context.Context) error {
	var wait backoff
	var last error
	for {
		s, err := l.dial(ctx)
		if err == nil {
			return l.set(s, nil)
		}
		if r, ok := errors.AsType[refusal](err); ok && l.stillRefused(ctx) {
			return r
		}
		if last == nil || ctx.Err() == nil { // otherwise the one before tells more
			last = err
		}
		l.unreachable(err)
		if !wait.wait(ctx, 0, nil) {
			return fmt.Errorf("connect to %s: %w: %w", l.address.masked, ctx.Err(), last)
		}
	}
}

// stillRefused asks once more, for the reason of pauseAfter.
func (l *link) stillRefused(ctx context.Context) bool {
	s, err := l.dial(ctx)
	if err == nil {
		s.close()
	}
	_, refused := errors.AsType[refusal](err)
	return refused
}

// run waits for the end of each session and makes the next one, until ctx
// ends. connect must have succeeded before.
func (l *link) run(ctx context.Context) {
	var wait backoff
	s := l.now()
	for s != nil {
		select {
		case <-s.Done():
		case <-ctx.Done():
			return
		}
		wait.worked(s.since)
		if l.set(nil, s.Err()) != nil {
			return
		}
		l.log.Warn("link lost, connecting again", "error", s.Err())
		s = l.reconnect(ctx, &wait)
		if s != nil {
			l.reminder = reminder.Reminder{}
			l.log.Info("link recovered")
		}
	}
}

// reconnect returns nil when ctx or the link has ended.
func (l *link) reconnect(ctx context.Context, wait *backoff) *session {
	refusals := 0
	for wait.wait(ctx, pauseAfter(refusals), l.twin.upAgain()) {
		s, err := l.dial(ctx)
		if err == nil {
			if l.set(s, nil) != nil {
				return nil
			}
			return s
		}
		if ctx.Err() != nil || l.set(nil, err) != nil {
			return nil
		}
		l.unreachable(err)
		if _, refused := errors.AsType[refusal](err); refused {
			refusals++
		} else {
			refusals = 0
		}
	}
	return nil
}

// unreachable logs a failure, the same one again only now and then.
func (l *link) unreachable(err error) {
	level := slog.LevelDebug
	if l.reminder.Due(err.Error(), time.Now()) {
		level = slog.LevelWarn
	}
	l.log.Log(context.Background(), level, "broker can't be reached, trying again", "error", err)
	l.config.OnUnreachable(err)
}

// upAgain returns a channel that is closed when there is a session again: a
// good moment for the other link to try, too.
func (l *link) upAgain() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up
}

// set makes s the session of the moment. It fails, and closes s, when the
// link has been closed.
func (l *link) set(s *session, why error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		if s != nil {
			s.close()
		}
		return broker.ErrClosed
	}
	l.session, l.last = s, why
	if s != nil {
		close(l.up)
		l.up = make(chan struct{})
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

// now returns the session of the moment, nil while the link is down.
func (l *link) now() *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session
}

// await returns the session of the moment and waits for one while the link is
// down. The error is that of ctx, with the reason, or ErrClosed.
func (l *link) await(ctx context.Context) (*session, error) {
	for {
		l.mu.Lock()
		s, last, changed, closed := l.session, l.last, l.changed, l.closed
		l.mu.Unlock()
		if closed {
			return nil, broker.ErrClosed
		}
		if s != nil && s.Err() == nil {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("no link to %s (%w): %w", l.address.masked, cmp.Or(last, errLost), ctx.Err())
		}
	}
}

func (l *link) ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session == nil || l.session.Err() != nil {
		return fmt.Errorf("no link to %s (to %s): %w", l.address.masked, l.role, cmp.Or(l.last, errLost))
	}
	return nil
}

// close ends the link for good.
func (l *link) close() {
	l.mu.Lock()
	s := l.session
	if !l.closed {
		l.closed, l.session, l.last = true, nil, broker.ErrClosed
		close(l.changed)
		l.changed = make(chan struct{})
	}
	l.mu.Unlock()
	if s != nil {
		s.close()
	}
}

// dial connects to one of the hosts, beginning with another one each time. The
// error is a refusal if one of them refused us.
func (l *link) dial(ctx context.Context) (*session, error) {
	hosts := l.address.hosts
	if len(hosts) == 1 {
		return l.dialHost(ctx, hosts[0])
	}
	start := rand.IntN(len(hosts))
	var failed []string
	var causes []error
	for i := range hosts {
		host := hosts[(start+i)%len(hosts)]
		s, err := l.dialHost(ctx, host)
		if err == nil {
			return s, nil
		}
		failed, causes = append(failed, host+": "+err.Error()), append(causes, err)
		if ctx.Err() != nil {
			break
		}
	}
	err := error(noHost{strings.Join(failed, "; "), causes})
	if _, refused := errors.AsType[refusal](err); refused {
		err = refusal{err}
	}
	return nil, err
}

// noHost says of each host why it can't be had.
type noHost struct {
	text   string
	causes []error
}

func (e noHost) Error() string   { return e.text }
func (e noHost) Unwrap() []error { return e.causes }

func (l *link) dialHost(ctx context.Context, host string) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	socket, err := l.address.connect(ctx, host)
	if err != nil {
		return nil, l.explain(host, err)
	}
	s := newSession()
	s.Conn, err = wire.Open(ctx, socket, wire.Config{
		Logins:     l.address.logins,
		VHost:      l.address.vhost,
		Heartbeat:  cmp.Or(l.address.heartbeat, l.config.Heartbeat),
		FrameMax:   maxFrame,
		ChannelMax: l.address.channels,
		Properties: wire.Table{"product": "enoki", "platform": "Go",
			"connection_name": l.config.Owner + " (" + l.role + ")"},
		Log:     l.log,
		Blocked: s.setAlarm,
	})
	if err != nil {
		return nil, l.explain(host, err)
	}
	return s, nil
}

// explain names user and vhost where the broker refused one of them, and
// tells what trying again won't change.
func (l *link) explain(host string, err error) error {
	if _, bad := errors.AsType[*tls.CertificateVerificationError](err); bad {
		return refusal{err}
	}
	if _, plain := errors.AsType[tls.RecordHeaderError](err); plain {
		return refusal{fmt.Errorf("%w: is the port one for TLS?", err)}
	}
	if network, ok := errors.AsType[*net.OpError](err); ok && network.Op == "remote error" { // by TLS 1.3 the server judges our certificate after its handshake
		return refusal{fmt.Errorf("TLS with %s: %w: check the certificate that we show", host, err)}
	}
	if errors.Is(err, wire.ErrSASL) {
		return refusal{fmt.Errorf("RabbitMQ at %s does not offer the login method (%w): check its auth_mechanisms, "+
			"and for EXTERNAL that it has the plugin rabbitmq_auth_mechanism_ssl", l.address.masked, err)}
	}
	if errors.Is(err, wire.ErrMalformed) { // such as a TLS alert
		return fmt.Errorf("%s does not speak AMQP (%w): if the port is one for TLS, use amqps://", host, err)
	}
	refused, ok := errors.AsType[*wire.Error](err)
	if ok && (refused.Code == wire.AccessRefused || refused.Code == wire.NotAllowed) {
		return refusal{fmt.Errorf("RabbitMQ at %s refused %s on vhost %q (%s): check the name and password or certificate, "+
			"that the vhost exists and that the user has permissions on it", l.address.masked, l.address.who, l.address.vhost, refused.Reason)}
	}
	return err
}

func newSession() *session {
	free := make(chan struct{})
	close(free)
	return &session{since: time.Now(), known: map[string]bool{}, free: free}
}

// limits returns what the broker takes.
func (s *session) limits() limits {
	return limits{frame: s.FrameMax(), body: int(s.largest.Load())}
}

// tooLarge reads how large a message may be from the broker's refusal of one.
var tooLarge = regexp.MustCompile(`message size \d+ is larger than .*max size (\d+)`)

// learn notes how large a message may be, if the broker has said so.
func (s *session) learn(refused *wire.Error) {
	if found := tooLarge.FindStringSubmatch(refused.Reason); found != nil {
		if n, err := strconv.ParseInt(found[1], 10, 64); err == nil {
			s.largest.Store(n)
		}
	}
}

// setAlarm notes why the broker takes no messages; the reason is empty when it
// does again.
func (s *session) setAlarm(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alarm = reason
	switch {
	case reason != "" && s.isFree():
		s.free = make(chan struct{})
	case reason == "" && !s.isFree():
		close(s.free)
	}
}

func (s *session) isFree() bool {
	select {
	case <-s.free:
		return true
	default:
		return false
	}
}

// unblocked returns a channel that is closed while the broker takes messages,
// and the reason while it does not.
func (s *session) unblocked() (free <-chan struct{}, alarm string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free, s.alarm
}

// takes tells whether the broker takes messages.
func (s *session) takes() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isFree()
}

func (s *session) declared(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[name]
}

func (s *session) setDeclared(name string, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[name] = is
}

// forgetDeclared has everything declared anew when it is used next.
func (s *session) forgetDeclared() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.known)
}

// close says goodbye to the broker, and waits for its answer for a while.
func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	s.Close(ctx)
}

// politely says a goodbye that waits for the broker's answer, but not for that
// of a broker which is frozen or away: its connection ends later, and the
// goodbye with it.
func (s *session) politely(say func(context.Context)) {
	patience := closeTimeout
	if s.silent.Load() {
		patience = 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	say(ctx)
	if ctx.Err() != nil {
		s.silent.Store(true)
	}
}

// leave closes a channel on which nothing is under way, and does not wait long
// for the broker's answer. One that has ended is none the worse for it.
func (s *session) leave(ch *wire.Channel) {
	s.politely(func(ctx context.Context) { _ = ch.Close(ctx) })
}

// reasonOf returns why a channel has ended.
func reasonOf(ch *wire.Channel) error {
	if err := ch.Err(); !errors.Is(err, wire.ErrClosed) {
		return err
	}
	return broker.ErrClosed
}
