package amqp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/budget"
	"github.com/enoki-go/enoki/internal/solo"
	"github.com/enoki-go/enoki/internal/uuid"
)

// Config says how to reach RabbitMQ. Only URL is needed.
type Config struct {
	// URL is amqp://user:password@host:port/vhost; the schemes amqps (TLS)
	// and pyamqp (as in Nameko's AMQP_URI) are accepted too. Several hosts of a
	// cluster have commas between, amqp://user:password@a:5672,b:5672/vhost, or
	// are whole URLs with semicolons between, as kombu has them. Each connection
	// is made to one of them, beginning with any and going on to the next when it
	// can't be had.
	URL string

	// Logger takes news of the link and of what could not be settled; nil
	// drops them. Passwords are never logged.
	Logger *slog.Logger

	// TLS is used with amqps; nil takes the system's authorities and the
	// URL's query parameters.
	TLS *tls.Config

	// RootCAs is asked for the authorities at each connect; nil leaves them
	// to TLS, or to the URL, whose files are read at each connect too.
	RootCAs func() (*x509.CertPool, error)

	// OnUnreachable is told why an attempt of Dial or of a later connect
	// failed. It must not block. Nil tells nobody.
	OnUnreachable func(error)

	// LoginMethod is how to say who we are: PLAIN or AMQPLAIN with the URL's
	// user and password, or EXTERNAL with the certificate that TLS shows:
	// Nameko's LOGIN_METHOD. The URL's parameter auth_mechanism goes first.
	// Default "PLAIN".
	LoginMethod string

	// Memory bounds what compressed messages take while they are handled; give
	// it the one of enoki.Options. Nil has no bound.
	Memory *budget.Budget

	// Owner is whom the reply queue is named for: rpc.reply-<Owner>-<id>.
	// Default "enoki".
	Owner string

	// RPCExchange is the topic exchange of requests and replies, Nameko's
	// rpc_exchange. Default "nameko-rpc".
	RPCExchange string

	// AutoDeleteEvents has the exchanges of events go when the last queue is
	// unbound: Nameko's AUTO_DELETE_EVENT_EXCHANGES, and what Nameko up to 2.12
	// did. All services of a cluster must agree. Default: they stay.
	AutoDeleteEvents bool

	// EventsUndeclared leaves the exchanges of events to others, who must have
	// declared them: Nameko's DECLARE_EVENT_EXCHANGES: false. Default: they are
	// declared before they are used.
	EventsUndeclared bool

	// QueueType is that of the queues of events, requests, replies, dead letters
	// and locks: Quorum, or empty for Nameko's flags, which leave it to the vhost's
	// default. A queue that exists with another type is used as it is, with a
	// warning. Python services share a quorum queue only where quorum is the
	// vhost's default. Queues that end with an instance, and those of
	// Ephemeral subscriptions, have no such type. With Quorum, calls at most once
	// are made in the usual way. Default: empty.
	QueueType string

	// Heartbeat is how often each side shows that it lives; a peer that was
	// silent for one and a half times as long is taken for dead. Default
	// 60 s. The URL's parameter heartbeat, in seconds, goes first.
	Heartbeat time.Duration

	// replyExpiry is how long the reply queue lives without its consumer. It
	// is Nameko's 5 minutes but in tests.
	replyExpiry time.Duration

	// consumersPerLink is the constant of that name but in tests.
	consumersPerLink int
}

// Driver is a link to a RabbitMQ vhost. It holds two connections: RabbitMQ
// stops reading from a connection that publishes while memory or disk are
// short, and acks must get through then. The first Lock makes a third, and
// hundreds of services make further ones.
type Driver struct {
	id     string // of this process
	config Config
	log    *slog.Logger

	consuming  *link // consumes and declares
	crowd      *crowd
	publishing *link
	locking    locking
	publisher  *publisher
	replies    *replies
	transients *transients
	watcher    *watcher
	routes     routes

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine but those of handlers

	mu      sync.Mutex
	closed  bool
	members map[*member]struct{}
	starts  map[string]*start // of suspects, by headerStart, see poison.go

	suspects *solo.Lane // of messages that may end the process
	recent   recent     // suspects that were here

	reading chan struct{} // has an item while a loop reads dead letters
	ladders chan struct{} // has an item while somebody makes a ladder
}

var _ broker.Broker = (*Driver)(nil)

// Dial connects to RabbitMQ and returns when both connections stand. While
// the broker can't be reached it tries again until ctx ends; a refusal of the
// user, the password or the vhost is an error at once.
func Dial(ctx context.Context, c Config) (*Driver, error) {
	c = c.withDefaults()
	address, err := c.address()
	if err == nil {
		err = CheckQueueType(c.QueueType)
	}
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.Background())
	d := &Driver{id: uuid.New(), config: c, log: c.Logger, ctx: life, cancel: cancel, members: map[*member]struct{}{},
		starts: map[string]*start{}, suspects: solo.New(), reading: make(chan struct{}, 1), ladders: make(chan struct{}, 1)}
	d.warnOfCluster(address)
	d.consuming, d.publishing = newLinks(address, c)
	d.crowd = newCrowd(d.consuming, c.consumersPerLink)
	d.locking.link = newLockLink(d.consuming)
	d.publisher = newPublisher(d.publishing, d.log)
	d.replies = newReplies(d)
	d.transients = newTransients(d)
	d.watcher = newWatcher(d)
	for _, l := range []*link{d.consuming, d.publishing} {
		if err := l.connect(ctx); err != nil {
			_ = d.Close()
			return nil, err
		}
		d.goRun(func() { l.run(life) })
	}
	d.goRun(func() { d.publisher.run(life) })
	d.goRun(func() { d.watcher.run(life) })
	if err := d.publisher.await(ctx); err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.OnUnreachable == nil {
		c.OnUnreachable = func(error) {}
	}
	if c.Owner == "" {
		c.Owner = "enoki"
	}
	if c.RPCExchange == "" {
		c.RPCExchange = "nameko-rpc"
	}
	if c.Heartbeat <= 0 {
		c.Heartbeat = time.Minute
	}
	if c.replyExpiry <= 0 {
		c.replyExpiry = 5 * time.Minute
	}
	if c.consumersPerLink <= 0 {
		c.consumersPerLink = consumersPerLink
	}
	return c
}

// goRun runs f in a goroutine that Close waits for. It returns false, and
// does not run f, after Close.
func (d *Driver) goRun(f func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.wg.Go(f)
	return true
}

// open returns the error of what is begun with a ctx that has ended, or after
// Close.
func (d *Driver) open(ctx context.Context) error {
	if d.ctx.Err() != nil {
		return broker.ErrClosed
	}
	return ctx.Err()
}

// Ready implements [broker.Broker].
func (d *Driver) Ready() error {
	if d.ctx.Err() != nil {
		return broker.ErrClosed
	}
	errs := []error{d.consuming.ready(), d.publishing.ready(), d.publisher.ready(), d.replies.ready()}
	d.mu.Lock()
	defer d.mu.Unlock()
	for m := range d.members {
		errs = append(errs, m.Ready())
	}
	return errors.Join(errs...)
}

// Close implements [broker.Broker]. It waits for everything but handlers.
func (d *Driver) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.cancel() // the contexts of all members come from this one
	d.sayGoodbye()
	d.crowd.close()
	d.publishing.close()
	d.locking.link.close()
	d.wg.Wait()
	return nil
}

// sayGoodbye closes the channels that publish, for the broker drops what it
// has not read when a connection ends, and has read all when it confirms that
// a channel is closed. The reply queue would stay for minutes.
func (d *Driver) sayGoodbye() {
	if d.publishing.ready() != nil {
		return
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		d.transients.close()
		<-d.publisher.gone
		d.replies.remove()
	}()
	select {
	case <-closed:
	case <-time.After(closeTimeout):
	}
}

func (d *Driver) add(m *member) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.members[m] = struct{}{}
}

func (d *Driver) remove(m *member) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.members, m)
}

// declare makes sure, once per connection, that t exists. It uses the
// connection that consumes, for RabbitMQ never stops reading from that one.
func (d *Driver) declare(ctx context.Context, t topology) error {
	s, err := d.consuming.await(ctx)
	if err != nil {
		return fmt.Errorf("declare %s: %w", t, err)
	}
	if s.declared(keyOf(t)) {
		return nil
	}
	is := t
	if q, ok := t.(queue); ok {
		if is, err = q.asItIs(d.ctx, s, d.log); err != nil {
			return err
		}
	}
	ch, err := s.Channel(d.ctx)
	if err != nil {
		return fmt.Errorf("declare %s: %w", t, err)
	}
	defer s.leave(ch)                             // a failed declaration has closed it already
	if err := is.declare(d.ctx, ch); err != nil { // what is begun is finished: a ladder takes longer than some contexts
		return err
	}
	s.setDeclared(keyOf(t), true)
	return nil
}

// undeclare has the next declare of t ask the broker again.
func (d *Driver) undeclare(t topology) {
	if s := d.consuming.now(); s != nil {
		s.setDeclared(keyOf(t), false)
	}
}

// keyOf tells declarations apart by all that they say: one of the same name
// with other flags is for the broker to judge.
func keyOf(t topology) string { return fmt.Sprintf("%#v", t) }
