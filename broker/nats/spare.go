package nats

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// The server gives a request to any instance, for it does not know which are
// busy. An instance that has requests waiting and no free worker says so to the
// others (an offer). Those that have free workers, then or within a second, say
// how many (a take), and get as many requests. Nothing of it is said while
// workers are free.

const (
	// offerPause is the least time between two offers of an instance, and
	// offerLast the most while something waits.
	offerPause = 10 * time.Millisecond
	offerLast  = time.Second

	// offerAge is how long an offer is remembered, takeAge for how long the
	// free workers of a take are believed in.
	offerAge = time.Second
	takeAge  = 50 * time.Millisecond

	// What is remembered of offers and takes at most.
	offersKept = 64
	takesKept  = 64
)

// spare is what an instance has to do with the requests that wait at others,
// and others with those that wait here.
type spare struct {
	calls   *calls
	subject string               // of all instances; that of one ends in its id
	news    *natsgo.Subscription // offers, of all
	takings *natsgo.Subscription // takes, for this one
	handed  *natsgo.Subscription // requests, for this one
	drained chan struct{}        // closed with handed

	takers chan taker
	asked  atomic.Bool // somebody has offered lately

	mu      sync.Mutex           // guards what follows
	offers  map[string]time.Time // by instance: when it said so last
	waiting int                  // requests here that have no worker and could be handed on
	offered time.Time            // when this one did
	pause   time.Duration        // until it does again
	again   *time.Timer
}

// taker is a free worker of another instance.
type taker struct {
	instance string
	at       time.Time
}

func newSpare(c *calls) *spare {
	s := c.member.service
	p := &spare{calls: c, subject: sparePrefix + token(s.Name), drained: make(chan struct{}),
		takers: make(chan taker, takesKept), offers: make(map[string]time.Time)}
	p.again = time.AfterFunc(time.Hour, p.offer)
	p.again.Stop()
	return p
}

func (p *spare) of(instance string) string { return p.subject + "." + token(instance) }

func (p *spare) subscribe() (err error) {
	nc, own := p.calls.member.driver.link.nc, p.of(p.calls.member.service.ID)
	if p.news, err = nc.Subscribe(p.subject, p.heard); err != nil {
		return err
	}
	if p.takings, err = nc.Subscribe(own, p.taken); err != nil {
		return err
	}
	if p.handed, err = nc.Subscribe(own+".*", p.calls.receive); err != nil {
		return err
	}
	p.handed.SetClosedHandler(func(string) { close(p.drained) })
	return p.handed.SetPendingLimits(waitingCalls, waitingBytes)
}

// offer tells the others that requests wait here, unless they were told just
// now, and again as long as one waits.
func (p *spare) offer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == 0 {
		return
	}
	now := time.Now()
	if wait := offerPause - now.Sub(p.offered); wait > 0 {
		p.again.Reset(wait)
		return
	}
	p.offered = now
	p.again.Reset(p.pause)
	p.pause = min(2*p.pause, offerLast)
	_ = p.calls.member.driver.link.nc.Publish(p.subject, []byte(p.calls.member.service.ID)) // the next one says the same
}

// begin is called when a request begins to wait.
func (p *spare) begin() {
	p.mu.Lock()
	p.waiting++
	p.pause = offerPause
	p.mu.Unlock()
	p.offer()
}

// rest is called when it waits no longer.
func (p *spare) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting--; p.waiting == 0 {
		p.again.Stop()
	}
}

// heard takes the offer of another instance, or our own.
func (p *spare) heard(msg *natsgo.Msg) {
	who := string(msg.Data)
	if who == p.calls.member.service.ID || !isInstance(who) || p.calls.isLeaving() {
		return
	}
	p.mu.Lock()
	if _, known := p.offers[who]; known || len(p.offers) < offersKept {
		p.offers[who] = time.Now()
		p.asked.Store(true)
	}
	p.mu.Unlock()
	p.take(who, p.calls.workers.free())
}

// freed is called when a worker has become free.
func (p *spare) freed() {
	if !p.asked.Load() || p.calls.isLeaving() {
		return
	}
	if who := p.offerer(); who != "" {
		p.take(who, 1+p.calls.workers.free())
	}
}

// isInstance tells whether a name may be that of an instance.
func isInstance(who string) bool {
	return who != "" && len(who) <= maxForeign && len(token(who)) <= maxForeign
}

// offerer returns an instance that has offered lately, or "".
func (p *spare) offerer() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for who, at := range p.offers { // in no order, so that each has its turn
		if time.Since(at) < offerAge {
			return who
		}
		delete(p.offers, who)
	}
	p.asked.Store(false)
	return ""
}

// take tells an instance how many workers are free here.
func (p *spare) take(who string, free int) {
	if free > 0 {
		text := fmt.Sprint(p.calls.member.service.ID, " ", free)
		_ = p.calls.member.driver.link.nc.Publish(p.of(who), []byte(text)) // what waits there is offered again
	}
}

// taken notes the free workers of another instance.
func (p *spare) taken(msg *natsgo.Msg) {
	who, count, _ := strings.Cut(string(msg.Data), " ")
	n, err := strconv.Atoi(count)
	if err != nil || !isInstance(who) {
		return // not from one of us
	}
	for range min(n, takesKept) {
		select {
		case p.takers <- taker{who, time.Now()}:
		default: // more than enough
			return
		}
	}
}

// hand gives a request to another instance. If that has gone meanwhile, the
// server tells the caller that there is nobody, and it calls again.
func (p *spare) hand(msg *natsgo.Msg, t taker) {
	method := msg.Subject[strings.LastIndexByte(msg.Subject, '.'):]
	again := &natsgo.Msg{Subject: p.of(t.instance) + method, Reply: msg.Reply, Header: msg.Header, Data: msg.Data}
	if err := p.calls.member.driver.publishWithin(replyPatience, again); err != nil {
		p.calls.member.driver.log.Warn("a call can't be handed on; its caller waits in vain", "subject", msg.Subject, "error", err)
	}
}

// stop takes no more requests of others but those that have come.
func (p *spare) stop() {
	p.again.Stop()
	_ = p.news.Unsubscribe() // these fail only when the connection is closed
	_ = p.takings.Unsubscribe()
	if err := p.handed.Drain(); err != nil {
		_ = p.handed.Unsubscribe()
	}
}
