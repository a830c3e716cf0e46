package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker"
)

const (
	// ephemeralAge is how long the broker keeps a consumer that does not last
	// and whose instances have died.
	ephemeralAge = 5 * time.Minute

	// maxUnsettled is how many events of one consumer all its instances
	// together may have unsettled. Events that wait for their next attempt
	// count, so it must be far above all workers together.
	maxUnsettled = 100_000

	// maxRequests is how many open requests for events the broker keeps for
	// one consumer. An instance has at most one for each halving of its
	// workers: 7 of 100.
	maxRequests = 4096

	// beatsPerRequest is how often the broker says that it still has a
	// request for events, while nothing else is to be said about it.
	beatsPerRequest = 12
)

// consumer gets the events of one subscription. It asks the broker for as many
// events as it has free workers, never more, so that an event waits in the
// broker, where other instances can get it. The pull loops of package
// jetstream fetch ahead of the handlers instead.
type consumer struct {
	member  *member
	sub     broker.Subscription
	name    string
	carries bool // events that are due; see newCarrier
	workers *workers[*delivery]
	gone    chan struct{} // closed once the last inbox is closed, after stop
	stopped chan struct{} // closed by stop

	attaching sync.Mutex // held by attach

	mu          sync.Mutex // guards what follows
	stream      string     // where the events are, as it was found last
	inbox       *natsgo.Subscription
	closed      chan struct{} // closed with the inbox
	retired     []draining    // inboxes that may still deliver
	problem     error         // why it gets no events; nil when the broker has confirmed it
	lost        time.Time     // when the problem came up
	leaving     bool
	outstanding int           // events asked for and not yet come
	heard       time.Time     // when the inbox got something last
	ackWait     time.Duration // of the consumer as it is on the broker
	window      int           // how many events may be here
	running     map[*delivery]struct{}

	// Of events that have an order.
	term  *term
	pin   string    // shows the broker that this is the active instance
	asked time.Time // when it was shown last
}

var errUnconfirmed = errors.New("the broker has not confirmed the consumer yet")

func newConsumer(m *member, sub broker.Subscription) *consumer {
	c := &consumer{
		member:  m,
		sub:     sub,
		name:    consumerName(m.service.Instance, sub),
		gone:    make(chan struct{}),
		stopped: make(chan struct{}),
		problem: errUnconfirmed,
		ackWait: m.driver.config.AckWait,
		running: make(map[*delivery]struct{}),
	}
	c.workers = newWorkers(m.service.Workers, c.handle)
	return c
}

func (c *consumer) config() jetstream.ConsumerConfig {
	if c.carries {
		return carrierConfig(c.member.driver.config.AckWait)
	}
	config := jetstream.ConsumerConfig{
		Name:          c.name,
		Durable:       c.name,
		Description:   "Enoki: " + c.member.service.Name + " handles " + c.sub.Source + "." + c.sub.Event,
		FilterSubject: eventSubject(c.sub.Source, c.sub.Event),
		// A new consumer has no business with what others still work on.
		DeliverPolicy: jetstream.DeliverNewPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       c.member.driver.config.AckWait,
		MaxDeliver:    -1, // whoever handles the event says when it is enough
		MaxAckPending: maxUnsettled,
		MaxWaiting:    maxRequests,
	}
	if c.sub.Mode == broker.Singleton { // of any service
		config.Description = "Enoki: one handler of " + c.sub.Source + "." + c.sub.Event
	}
	if !c.sub.Lasts() {
		config.Durable, config.InactiveThreshold = "", ephemeralAge
	}
	if c.sub.OrderBy != nil {
		c.member.driver.giveOrder(&config)
	}
	return config
}

// attach creates the consumer on the broker if it is missing and asks it for
// events. It may be called again whenever the consumer or the link was lost.
func (c *consumer) attach(ctx context.Context) error {
	c.attaching.Lock()
	defer c.attaching.Unlock()
	err := c.find(ctx)
	if err != nil {
		c.fail(err)
		return err
	}
	info, err := c.create(ctx)
	if err == nil {
		err = c.connect(info.Config)
	}
	if err != nil {
		c.fail(err)
	}
	return err
}

// find notes which stream has the events, and sees to it that it is there.
func (c *consumer) find(ctx context.Context) error {
	if c.carries {
		return nil // a stream that is always there
	}
	stream, err := c.member.driver.streams.of(ctx, c.sub.Source)
	if err == nil && c.member.driver.streams.isParting() {
		stream, err = c.member.driver.oldFirst(ctx, stream, c.name)
	}
	if err == nil {
		c.mu.Lock()
		c.stream = stream
		c.mu.Unlock()
	}
	return err
}

func (c *consumer) where() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stream
}

// create returns the consumer that is there, or makes it. One that was there
// and is gone gets some time: see streams.letGo, it is the same with consumers.
func (c *consumer) create(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	js, stream := c.member.driver.js, c.where()
	within := func(do func(ctx context.Context) (jetstream.Consumer, error)) (jetstream.Consumer, error) {
		ctx, cancel := context.WithTimeout(ctx, apiTimeout)
		defer cancel()
		return do(ctx)
	}
	look := func(ctx context.Context) (jetstream.Consumer, error) { return js.Consumer(ctx, stream, c.name) }
	there, err := within(look)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		if err := sleep(ctx, time.Until(c.lostAt().Add(deletePause))); err != nil {
			return nil, err
		}
		there, err = within(func(ctx context.Context) (jetstream.Consumer, error) {
			return js.CreateConsumer(ctx, stream, c.config())
		})
	}
	if exists(err) { // another instance, with other settings, was faster
		there, err = within(look)
	}
	if err != nil {
		return nil, err
	}
	info := there.CachedInfo()
	return info, c.compare(info.Config)
}

// compare warns of settings that are not as this service would make them, and
// refuses those it can't work with.
func (c *consumer) compare(is jetstream.ConsumerConfig) error {
	want := c.config()
	if is.FilterSubject != want.FilterSubject || is.AckPolicy != want.AckPolicy || is.DeliverSubject != "" {
		return fmt.Errorf("%w: consumer %s of stream %s is for %q with ack policy %q, Enoki needs %q with %q: delete it",
			errRefused, c.name, c.where(), is.FilterSubject, is.AckPolicy, want.FilterSubject, want.AckPolicy)
	}
	if (is.InactiveThreshold > 0) != (want.InactiveThreshold > 0) {
		return fmt.Errorf("%w: consumer %s of stream %s exists and is ephemeral: %v, want %v: stop the instances that have it so and delete it, with what waits in it, or rename the handler",
			errRefused, c.name, c.where(), is.InactiveThreshold > 0, want.InactiveThreshold > 0)
	}
	if hasOrder(is) != hasOrder(want) {
		return fmt.Errorf("%w: consumer %s of stream %s exists and has an order: %v, want %v: stop the instances that have it so and delete it, with what waits in it, or rename the handler",
			errRefused, c.name, c.where(), hasOrder(is), hasOrder(want))
	}
	if is.AckWait != want.AckWait || is.MaxDeliver != want.MaxDeliver || is.MaxAckPending != want.MaxAckPending {
		c.member.driver.log.Warn("a consumer is not as this service makes it; it is left as it is", "consumer", c.name,
			"ack_wait", is.AckWait, "max_deliver", is.MaxDeliver, "max_ack_pending", is.MaxAckPending,
			"usual ack_wait", want.AckWait, "usual max_ack_pending", want.MaxAckPending)
	}
	return nil
}

func (c *consumer) lostAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// exists tells whether a consumer of that name is there with other settings.
func exists(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeConsumerExists ||
		api.ErrorCode == jetstream.JSErrCodeConsumerAlreadyExists || api.ErrorCode == jetstream.JSErrCodeConsumerNameExists)
}

// connect subscribes to a new inbox, because requests of the old one may or may
// not have survived, and asks for events.
func (c *consumer) connect(is jetstream.ConsumerConfig) error {
	var left []*delivery
	defer func() {
		for _, dv := range left {
			dv.giveBack()
		}
	}()
	nc := c.member.driver.link.nc
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving {
		return nil
	}
	inbox, err := nc.Subscribe(nc.NewInbox(), c.receive)
	if err != nil {
		return err
	}
	// Only what was asked for comes: as many events as there are workers.
	if err := inbox.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	closed := make(chan struct{})
	inbox.SetClosedHandler(func(string) { close(closed) })
	c.retire()
	c.inbox, c.closed, c.ackWait = inbox, closed, is.AckWait
	c.outstanding, c.heard, c.problem = 0, time.Now(), nil
	c.window = c.workers.max
	if c.sub.OrderBy != nil {
		c.window = is.MaxAckPending
		left = c.nextTerm()
	}
	return c.pull()
}

// retire closes the inbox; what it has got is still delivered. c.mu is held.
func (c *consumer) retire() {
	if c.inbox == nil {
		return
	}
	if err := c.inbox.Drain(); err != nil {
		_ = c.inbox.Unsubscribe() // fails only when the connection is closed, and all inboxes with it
	}
	c.retired = slices.DeleteFunc(c.retired, draining.isClosed)
	c.retired = append(c.retired, draining{c.inbox, c.closed})
	c.inbox = nil
}

// pull asks for more events when as many workers are free as events are on
// their way: one request for many events, yet no worker waits for long. c.mu
// is held.
func (c *consumer) pull() error {
	free := c.window - len(c.running) - c.outstanding
	if c.leaving || c.inbox == nil || free <= 0 || free < c.outstanding {
		return nil
	}
	age := c.member.driver.config.requestAge
	return c.ask(pullRequest{Batch: free, Expires: age, Heartbeat: age / beatsPerRequest})
}

// ask sends a request for events. c.mu is held.
func (c *consumer) ask(r pullRequest) error {
	if c.sub.OrderBy != nil && c.window > 1 {
		r.Group, r.Pin = pinGroup, c.pin
	}
	request, err := json.Marshal(r)
	if err != nil {
		return err
	}
	subject := "$JS.API.CONSUMER.MSG.NEXT." + c.stream + "." + c.name
	if err := c.member.driver.link.nc.PublishRequest(subject, c.inbox.Subject, request); err != nil {
		return err
	}
	c.asked = time.Now()
	if c.outstanding == 0 {
		c.heard = c.asked // the broker has had no reason to say anything
	}
	c.outstanding += r.Batch
	return nil
}

// pullRequest is JetStream's request for the next events.
type pullRequest struct {
	Batch     int           `json:"batch"`
	Expires   time.Duration `json:"expires"`
	Heartbeat time.Duration `json:"idle_heartbeat"`
	Group     string        `json:"group,omitempty"`
	Pin       string        `json:"id,omitempty"`
}

// receive takes what comes to an inbox.
func (c *consumer) receive(msg *natsgo.Msg) {
	status := statusOf(msg)
	if status != "" && !isDelivery(msg) {
		c.control(status, msg)
		return
	}
	dv, err := newDelivery(c, msg)
	if err != nil {
		c.member.driver.log.Error("a message is not from JetStream", "subject", msg.Subject, "error", err)
		return
	}
	if dv.times > 1 && c.isHere(dv) {
		return // its time was up while the link was lost, but its handler runs
	}
	if !c.accept(dv) {
		dv.giveBack()
		return
	}
	if c.sub.OrderBy != nil {
		c.order(dv)
		return
	}
	if !c.workers.do(dv, c.stopped) {
		dv.giveBack()
		c.release(dv)
	}
}

// isHere tells whether an event that comes again is still with a handler of
// this consumer, which will settle it. Events that have an order are looked
// after by order.
func (c *consumer) isHere(dv *delivery) bool {
	if c.sub.OrderBy != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.holds(dv) {
		return false
	}
	if dv.msg.Sub == c.inbox {
		c.heard = time.Now()
		c.outstanding = max(c.outstanding-1, 0)
	}
	if err := c.pull(); err != nil {
		c.lose(err)
	}
	return true
}

// accept counts dv as running unless the member is leaving.
func (c *consumer) accept(dv *delivery) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if dv.msg.Sub == c.inbox { // an earlier inbox had requests of its own
		c.heard = time.Now()
		c.outstanding = max(c.outstanding-1, 0)
	}
	if c.leaving {
		return false
	}
	if c.sub.OrderBy == nil {
		c.running[dv] = struct{}{}
	}
	return true
}

// release forgets a delivery and asks for the next.
func (c *consumer) release(dv *delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, dv)
	if err := c.pull(); err != nil {
		c.lose(err)
	}
}

// control takes what the broker says about requests.
func (c *consumer) control(status string, msg *natsgo.Msg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inbox == nil || msg.Sub != c.inbox {
		return // about requests that do not count any more
	}
	c.heard = time.Now()
	switch status {
	case "100": // a heartbeat
	case "408": // a request has expired
		pending, err := strconv.Atoi(msg.Header.Get("Nats-Pending-Messages"))
		if err != nil {
			c.lose(fmt.Errorf("the broker ended a request: %s", msg.Header.Get("Description")))
			return
		}
		c.outstanding = max(c.outstanding-pending, 0)
		if err := c.pull(); err != nil {
			c.lose(err)
		}
	case pinRefused:
		c.pin = ""
		c.lose(errors.New("another instance has become the active one"))
	default: // deleted, moved to another server, or not there at all
		c.lose(fmt.Errorf("the broker refuses requests: %s %s", status, msg.Header.Get("Description")))
	}
}

// lose notes why no events come and asks for repair. c.mu is held.
func (c *consumer) lose(err error) {
	if c.leaving {
		return
	}
	c.problem, c.lost = err, time.Now()
	c.member.driver.link.repair()
}

func (c *consumer) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problem = err
}

func (c *consumer) ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.problem
}

// beat keeps the events alive that are being handled, and notices a broker
// that has forgotten our requests.
func (c *consumer) beat(now time.Time) {
	c.mu.Lock()
	var late []*delivery
	for dv := range c.running {
		if now.Sub(dv.seen) >= c.ackWait/3 {
			dv.seen = now
			late = append(late, dv)
		}
	}
	// Twice the heartbeat without one is what the protocol calls missing.
	missing := 2*c.member.driver.config.requestAge/beatsPerRequest + time.Second
	if c.outstanding > 0 && c.problem == nil && now.Sub(c.heard) > missing {
		c.lose(fmt.Errorf("no heartbeat for %s", now.Sub(c.heard).Round(time.Second)))
	}
	c.stayPinned(now)
	c.mu.Unlock()
	for _, dv := range late {
		_ = dv.msg.InProgress() // the next beat tries again
	}
}

// stop ends taking events and returns a channel that is closed when the
// running handlers have returned and their events are settled.
func (c *consumer) stop() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving {
		return c.gone
	}
	c.leaving = true
	close(c.stopped)
	c.retire()
	retired := c.retired
	if c.term != nil {
		c.term.close()
	}
	go func() {
		defer close(c.gone)
		for _, inbox := range retired {
			inbox.await(c.member.silent())
		}
		if c.term != nil { // no other one comes
			c.term.wait()
		}
		<-c.workers.dismiss()
	}()
	return c.gone
}

// end gives back what is not settled, and removes a consumer that does not
// last and that nobody else has.
func (c *consumer) end() {
	for _, dv := range c.unsettled() {
		dv.giveBack()
	}
	d := c.member.driver
	ctx, cancel := c.member.talking(context.Background())
	defer cancel()
	if err := c.unpin(ctx); err != nil {
		d.log.Info("another instance takes over its ordered events only after a while", "consumer", c.name, "after", c.ackWait, "error", err)
	}
	if c.sub.Lasts() {
		return
	}
	err := c.remove(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		d.log.Info("an ephemeral consumer was not removed; the broker will do it", "consumer", c.name, "after", ephemeralAge, "error", err)
	}
}

// remove deletes the consumer unless others ask it for events, or handle some:
// then the last of them does, or the broker by the consumer's age.
func (c *consumer) remove(ctx context.Context) error {
	js := c.member.driver.js
	for look := 0; ; look++ {
		there, err := js.Consumer(ctx, c.where(), c.name)
		if err != nil {
			return err
		}
		info := there.CachedInfo()
		if info.Config.InactiveThreshold == 0 || info.NumWaiting > 0 {
			return nil // one that lasts kept us from joining; or it has others
		}
		if info.NumAckPending == 0 || c.sub.Mode == broker.Broadcast {
			return js.DeleteConsumer(ctx, c.where(), c.name)
		}
		// Our own last acknowledgements may still be on their way.
		if look == removeLooks {
			return nil
		}
		if err := sleep(ctx, removePause); err != nil {
			return err
		}
	}
}

// How often, and how far apart, it is looked whether a consumer can go.
const (
	removeLooks = 50
	removePause = 20 * time.Millisecond
)

func (c *consumer) unsettled() []*delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]*delivery, 0, len(c.running))
	for dv := range c.running {
		list = append(list, dv)
	}
	return list
}
