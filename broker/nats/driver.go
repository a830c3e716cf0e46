package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/solo"
)

// Driver is a link to a NATS server or cluster. It implements broker.Broker.
// Its methods may be called concurrently.
type Driver struct {
	config  Config
	log     *slog.Logger
	link    *link
	js      jetstream.JetStream
	replies *replies
	streams *streams
	framed  sync.Map  // services that are known to take frames
	buffers sync.Pool // of *[]byte, for frames
	emitted sync.Map  // sources of events that were emitted here and have a stream
	blame   blame

	deadRoom, laterRoom sharedRoom

	proven   atomic.Uint64 // the epoch of the link in which everything was found in order, plus one
	dropped  atomic.Int64  // requests that were lost by members that have left
	suspects *solo.Lane    // for events that may end the process
	closed   chan struct{}
	tasks    sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	closing bool
	members map[*member]struct{}
	leases  map[*lease]struct{}
}

var _ broker.Broker = (*Driver)(nil)

// errClosed is the error of a closed driver.
var errClosed = fmt.Errorf("nats: %w", broker.ErrClosed)

// Dial connects and makes sure that the streams exist. It blocks until a server
// accepts the link or ctx ends. If a server refuses the credentials, has no
// JetStream or denies a permission, Dial returns an error at once.
func Dial(ctx context.Context, c Config) (*Driver, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	link := newLink(c)
	if err := link.connect(ctx); err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	d, err := newDriver(c, link)
	if err == nil {
		err = d.prepare(ctx)
	}
	if err != nil {
		link.nc.Close()
		return nil, fmt.Errorf("nats: %s: %w", c.address(), err)
	}
	d.tasks.Go(d.repairs)
	d.tasks.Go(d.beats)
	d.tasks.Go(d.moves)
	return d, nil
}

func newDriver(c Config, link *link) (*Driver, error) {
	js, err := jetstream.New(link.nc)
	if err != nil {
		return nil, err
	}
	replies, err := newReplies(link.nc)
	if err != nil {
		return nil, err
	}
	link.endsRequests(replies)
	streams := newStreams(js, c, link.nc.ConnectedClusterName() != "", link.since(2, 12))
	return &Driver{
		config: c, log: c.Logger, link: link, js: js, replies: replies, streams: streams,
		deadRoom:  sharedRoom{stream: deadStream, limit: streams.roomOf},
		laterRoom: sharedRoom{stream: laterStream, limit: streams.roomOf},
		buffers:   sync.Pool{New: func() any { return new([]byte) }},
		closed:    make(chan struct{}), suspects: solo.New(),
		members: make(map[*member]struct{}),
		leases:  make(map[*lease]struct{}),
	}, nil
}

func (d *Driver) prepare(ctx context.Context) error {
	epoch := d.link.epoch()
	err := d.insist(ctx, func(ctx context.Context) error {
		err := d.streams.ensure(ctx)
		if errors.Is(err, natsgo.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			return errNoJetStream
		}
		return err
	})
	d.proven.Store(epoch + 1)
	return err
}

// errNoJetStream is final during Dial. Later, the server may just be starting.
var errNoJetStream = fmt.Errorf("%w: the server has no JetStream, where Enoki keeps events: start it with -js, or enable JetStream for this account", errRefused)

// insist runs do until it succeeds, fails for good, or ctx ends.
func (d *Driver) insist(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := d.link.untilDenied(ctx)
	defer cancel()
	var last error
	for attempt := 1; ; attempt++ {
		if err := d.link.await(ctx, d.closed); err != nil {
			return endedBy(err, last)
		}
		once, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := do(once)
		cancel()
		if err == nil || forGood(err) {
			return err
		}
		if ctx.Err() == nil { // otherwise last says more
			last = err
		}
		if attempt == toldAfter {
			d.log.Warn("NATS is not ready for us; trying again until it is", "error", err)
		}
		if err := sleep(ctx, min(pause(attempt), time.Second)); err != nil {
			return endedBy(err, last)
		}
	}
}

// toldAfter is how many attempts may fail before the log says so. A starting
// server needs a few.
const toldAfter = 5

// apiTimeout bounds one request to JetStream's API, which takes milliseconds if
// all is well.
const apiTimeout = 5 * time.Second

// attemptTimeout bounds several such requests with the pauses between them.
const attemptTimeout = 30 * time.Second

func endedBy(err, last error) error {
	if last == nil {
		return err
	}
	return fmt.Errorf("%w (last: %w)", err, last)
}

// forGood reports whether JetStream would give the same error again. Its
// internal errors (500, 503) may pass, for instance while a stream is being
// deleted.
func forGood(err error) bool {
	if errors.Is(err, errRefused) || errors.Is(err, broker.ErrClosed) {
		return true
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && api.Code < 500 && !errors.Is(err, jetstream.ErrStreamNotFound)
}

// errRefused marks an error that lasts until an operator changes something.
var errRefused = errors.New("refused")

// usable returns the reason why no message can be sent.
func (d *Driver) usable(ctx context.Context) error {
	select {
	case <-d.closed:
		return errClosed
	default:
		return ctx.Err()
	}
}

// Ready implements broker.Broker.
func (d *Driver) Ready() error {
	if err := d.ready(); err != nil {
		return err
	}
	for _, m := range d.joined() {
		if err := m.missing(); err != nil {
			return err
		}
	}
	return nil
}

// ready is Ready without the members.
func (d *Driver) ready() error {
	select {
	case <-d.closed:
		return errClosed
	default:
	}
	if !d.link.nc.IsConnected() {
		return fmt.Errorf("nats: the link to %s is lost: %w", d.config.address(), d.link.reason())
	}
	if d.proven.Load() != d.link.epoch()+1 {
		return fmt.Errorf("nats: the link to %s is back; streams and consumers are being checked", d.config.address())
	}
	return nil
}

func (d *Driver) joined() []*member {
	d.mu.Lock()
	defer d.mu.Unlock()
	members := make([]*member, 0, len(d.members))
	for m := range d.members {
		members = append(members, m)
	}
	return members
}

// Close implements broker.Broker. It does not wait for handlers that ignore the
// end of their context.
func (d *Driver) Close() error {
	d.mu.Lock()
	if d.closing {
		d.mu.Unlock()
		d.tasks.Wait()
		return nil
	}
	d.closing = true
	d.mu.Unlock()

	for _, m := range d.joined() {
		m.cutOff()
	}
	d.releaseAll()
	close(d.closed)
	d.replies.close()
	if d.link.nc.IsConnected() {
		_ = d.link.nc.FlushTimeout(flushTimeout) // so that handed back messages get there; otherwise the broker notices it later
	}
	d.link.nc.Close()
	d.tasks.Wait()
	return nil
}

// flushTimeout is how long Close waits until everything is sent.
const flushTimeout = 2 * time.Second

// Stats are counters since Dial.
type Stats struct {
	Reconnects uint64 // attempts to recover the link that reached a server
	Dropped    int64  // requests lost because they came faster than the workers handled them
}

// Stats returns the counters of this link.
func (d *Driver) Stats() Stats {
	s := Stats{Reconnects: d.link.epoch(), Dropped: d.dropped.Load()}
	for _, m := range d.joined() {
		if m.calls != nil && !m.calls.isLeaving() {
			s.Dropped += m.calls.dropped()
		}
	}
	return s
}

// publish sends msg as soon as the link is up. The error is ErrNotDelivered,
// ErrUnknownOutcome or ErrClosed. It is also the error of ctx if the link was
// down until ctx ended.
func (d *Driver) publish(ctx context.Context, msg *natsgo.Msg) error {
	for {
		err := d.send(msg)
		if !errors.Is(err, errDown) {
			return err
		}
		if err := d.link.await(ctx, d.closed); errors.Is(err, broker.ErrClosed) {
			return err
		} else if err != nil {
			return fmt.Errorf("%w: no link to %s: %w", broker.ErrNotDelivered, d.config.address(), err)
		}
	}
}

// publishWithin is publish without a context. Most messages need none, and so
// no timer.
func (d *Driver) publishWithin(patience time.Duration, msg *natsgo.Msg) error {
	err := d.send(msg)
	if !errors.Is(err, errDown) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return d.publish(ctx, msg)
}

// errDown: the link is down, and nothing was sent.
var errDown = errors.New("the link is down")

// send sends msg if the link is up.
func (d *Driver) send(msg *natsgo.Msg) error {
	if n := len(msg.Subject) + len(msg.Reply); n > maxSubject {
		return fmt.Errorf("%w: a subject of %d bytes with that of the reply is over the limit of %d: give it shorter names",
			broker.ErrInvalid, n, maxSubject)
	}
	err := d.link.nc.PublishMsg(msg)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, natsgo.ErrReconnectBufExceeded), errors.Is(err, natsgo.ErrConnectionReconnecting):
		return errDown
	case errors.Is(err, natsgo.ErrConnectionClosed):
		return errClosed
	case errors.Is(err, natsgo.ErrMaxPayload):
		return d.tooLarge(msg, d.link.nc.MaxPayload())
	case errors.Is(err, natsgo.ErrBadSubject):
		return fmt.Errorf("%w: %s: %w", broker.ErrInvalid, msg.Subject, err)
	}
	return fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, err) // the link broke during the write
}

func (d *Driver) tooLarge(msg *natsgo.Msg, limit int64) error {
	return fmt.Errorf("%w: %s: %d bytes with headers are over the limit of %d: raise max_payload of the NATS server, or send less",
		broker.ErrInvalid, msg.Subject, msg.Size()-len(msg.Subject)-len(msg.Reply), limit)
}
