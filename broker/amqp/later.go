package amqp

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// An event that is due later, or is retried, goes down a ladder. The delay is a binary number
// of steps, each of its digits a header and a level of the ladder: an exchange
// that sends the event straight on to the next lower one when the digit is 0,
// and by way of a queue, which it leaves by its age, when the digit is 1. No
// process of ours has to be there meanwhile, every queue is as old as its
// oldest message allows, and there are no more than thirty of them.

const (
	headerLater   = ownPrefix + "later"        // the service whose event it is
	headerLevel   = ownPrefix + "later-level-" // and the number of a digit
	laterExchange = "enoki.wait"               // below the lowest level

	// oldLaterExchange is the foot of a ladder that has no way out for what
	// can't be routed. It can't be declared anew, so there is this one beside it.
	oldLaterExchange = "enoki.due"
)

// What nobody's exchange leads on would be held by the queue that it fell out
// of, and a few such hold up all others. It becomes a dead letter.
var unroutable = exchange{name: "enoki.unroutable", kind: "fanout"}

// step is what the lowest level waits.
const step = 100 * time.Millisecond

// steps returns how many steps it is until due, so that it is not early.
func steps(due time.Time) uint64 {
	return stepsOf(time.Until(due))
}

func stepsOf(delay time.Duration) uint64 {
	if delay <= 0 {
		return 0
	}
	return uint64((delay + step - 1) / step)
}

// topOf returns the highest level on the way of n steps.
func topOf(n uint64) int { return bits.Len64(n) - 1 }

// ladder is the way of an event that waits: the levels from top on down, and
// the exchange at its foot.
type ladder struct {
	top    int
	events exchange
}

func (l ladder) String() string {
	return fmt.Sprintf("the queues of events that are due later, %q", level(l.top).name)
}

// level returns the exchange of a level, and that at the foot for -1.
func level(n int) exchange {
	e := exchange{name: laterExchange, kind: "headers", args: wire.Table{"alternate-exchange": unroutable.name}}
	if n >= 0 {
		e.name = fmt.Sprint(laterExchange, ".", n)
	}
	return e
}

func digit(n int, set bool) wire.Table {
	return wire.Table{"x-match": "all", fmt.Sprint(headerLevel, n): set}
}

// declare makes each level after the one below it. Its queues are quorum queues
// that let go of an event only once the next queue has it: between classic ones
// events are lost when the broker is killed.
func (l ladder) declare(ctx context.Context, ch *wire.Channel) error {
	if err := l.declareFoot(ctx, ch); err != nil {
		return err
	}
	for n := range l.top + 1 {
		at, below := level(n), level(n-1)
		wait := queue{
			name: at.name,
			args: wire.Table{
				"x-queue-type":           "quorum",
				"x-overflow":             "reject-publish", // at-least-once asks for it
				"x-message-ttl":          (step << n).Milliseconds(),
				"x-dead-letter-exchange": below.name,
				"x-dead-letter-strategy": "at-least-once",
			},
			bindings: []binding{{exchange: at, args: digit(n, true)}},
		}
		if err := wait.declare(ctx, ch); err != nil {
			return err
		}
		if err := ch.BindExchange(ctx, wire.Binding{From: at.name, To: below.name, Arguments: digit(n, false)}); err != nil {
			return explainDeclare(at, err)
		}
	}
	return nil
}

// declareFoot has what the exchange of l waits for go there, and to nowhere,
// too: an event that no queue takes would stay in the last one.
func (l ladder) declareFoot(ctx context.Context, ch *wire.Channel) error {
	letters := dead
	letters.bindings = []binding{{exchange: unroutable}}
	args := wire.Table{"x-match": "all", headerLater: l.events.name}
	led := nowhere()
	led.bindings = []binding{{exchange: level(-1), args: args}}
	for _, t := range []topology{letters, led, l.events} {
		if err := t.declare(ctx, ch); err != nil {
			return err
		}
	}
	return explainDeclare(l.events, ch.BindExchange(ctx, wire.Binding{From: laterExchange, To: l.events.name, Arguments: args}))
}

// nowhere is the queue that drops what it gets.
func nowhere() queue {
	return queue{name: laterExchange + ".nowhere", args: wire.Table{"x-message-ttl": int32(0)}}
}

// headers sets the digits of n and where the ladder ends.
func (l ladder) headers(h wire.Table, n uint64) {
	h[headerLater] = l.events.name
	for d := range l.top + 1 {
		h[fmt.Sprint(headerLevel, d)] = n>>d&1 == 1
	}
}

// emitLater sends an event down the ladder of n steps.
func (d *Driver) emitLater(ctx context.Context, events exchange, event string, n uint64, msg wire.Message, headers []byte) error {
	l := ladder{top: topOf(n), events: events}
	way := wire.Table{}
	l.headers(way, n)
	headers, err := wire.AppendTable(headers, way)
	if err != nil {
		return err
	}
	for range 2 {
		if err = d.makeLadder(ctx, l); err != nil {
			return fmt.Errorf("%w: %w", broker.ErrNotDelivered, err)
		}
		// Mandatory: a message that no queue takes would be lost.
		err = d.publisher.publish(ctx, &outgoing{exchange: level(l.top).name, key: event, mandatory: true, repeatable: true, msg: msg, headers: headers})
		if !errors.Is(err, errNoRoute) && !isGone(err) {
			return err
		}
		d.undeclare(l) // somebody deleted some of it since
	}
	return err
}

// makeLadder makes sure that a ladder is there. It is more than a hundred
// declarations the first time, which those who need it at once must not all
// make.
func (d *Driver) makeLadder(ctx context.Context, t topology) error {
	if s := d.consuming.now(); s != nil && s.declared(keyOf(t)) {
		return nil
	}
	select {
	case d.ladders <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.ladders }()
	if err := d.declare(ctx, t); err != nil {
		return err
	}
	switch l := t.(type) {
	case ladder:
		d.watcher.made(l)
	case retryWay:
		d.watcher.made(l.ladder)
	default:
		return nil
	}
	if err := d.declare(ctx, oldLadder{}); err != nil {
		d.log.Debug("what can't be routed in the queues of an older Enoki may hold up what waits there", "error", err)
	}
	return nil
}

// oldLadder is what an older Enoki has declared, if it has. What falls out of
// its queues and can't be routed gets a way out: by an exchange for each level
// that drops copies of what can, and has the rest become dead letters.
type oldLadder struct{}

func (oldLadder) String() string { return fmt.Sprintf("the way out of exchange %q", oldLaterExchange) }

func (oldLadder) declare(ctx context.Context, ch *wire.Channel) error {
	for n := 0; ; n++ {
		at := exchange{name: fmt.Sprint(oldLaterExchange, ".", n), kind: "headers"}
		err := ch.FindExchange(ctx, at.wire())
		if no, ok := errors.AsType[*wire.Error](err); ok && no.Code == wire.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		rest := level(-1)
		rest.name = at.name + ".rest"
		led := nowhere()
		led.bindings = []binding{{exchange: rest, args: digit(n, true)}, {exchange: rest, args: digit(n, false)}}
		if err := led.declare(ctx, ch); err != nil {
			return err
		}
		if err := ch.BindExchange(ctx, wire.Binding{From: at.name, To: rest.name, Arguments: wire.Table{"x-match": "all"}}); err != nil {
			return err
		}
	}
}

// waited tells whether RabbitMQ has added headers to a message because it
// waited in a queue of ours.
func waited(headers wire.Table) bool {
	_, retried := headers[headerAttempt]
	_, later := headers[headerLater]
	_, backedOff := headers[headerBackoff]
	_, died := headers["x-death"]
	return retried || later || backedOff && died
}

// isWaitHeader tells whether a message that has waited has this header for
// that only.
func isWaitHeader(k string) bool {
	return k == headerLater || k == headerBackoff || strings.HasPrefix(k, headerLevel) || k == "x-death" || strings.HasPrefix(k, "x-first-death-") || strings.HasPrefix(k, "x-last-death-")
}
