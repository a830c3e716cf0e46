package amqp

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// topology is something that can be declared on a channel.
type topology interface {
	declare(ctx context.Context, ch *wire.Channel) error
	fmt.Stringer
}

// exchange is a durable exchange that stays when nobody uses it, unless a flag
// says otherwise.
type exchange struct {
	name       string
	kind       string // topic, fanout, direct, headers or a plugin's
	transient  bool   // goes when the broker starts again
	autoDelete bool   // goes when the last queue is unbound
	undeclared bool   // is there already: somebody else declares it
	args       wire.Table
}

func (e exchange) String() string { return fmt.Sprintf("exchange %q", e.name) }

func (e exchange) declare(ctx context.Context, ch *wire.Channel) error {
	if err := checkName("exchange", e.name); err != nil {
		return err
	}
	if e.undeclared || e.name == "" { // the default exchange is always there
		return nil
	}
	return explainDeclare(e, ch.DeclareExchange(ctx, e.wire()))
}

func (e exchange) wire() wire.Exchange {
	return wire.Exchange{Name: e.name, Kind: e.kind, Durable: !e.transient, AutoDelete: e.autoDelete, Arguments: e.args}
}

// queue is a durable queue that stays, unless a flag says otherwise, and what
// is bound to it.
type queue struct {
	name       string
	transient  bool // goes when the broker starts again
	exclusive  bool // this connection's alone, and goes with its consumer
	autoDelete bool // goes with its last consumer
	undeclared bool // is there already: somebody else declares and binds it
	args       wire.Table
	bindings   []binding

	// quorum asks for a quorum queue. One that exists with another type is taken
	// as it is; see asItIs.
	quorum bool
}

type binding struct {
	exchange exchange
	key      string
	args     wire.Table
}

func (q queue) String() string { return fmt.Sprintf("queue %q", q.name) }

// declare keeps Nameko's order: exchange, queue, binding.
func (q queue) declare(ctx context.Context, ch *wire.Channel) error {
	if err := checkName("queue", q.name); err != nil || q.undeclared {
		return err
	}
	for _, b := range q.bindings {
		if err := checkName("binding key", b.key); err != nil {
			return err
		}
		if err := b.exchange.declare(ctx, ch); err != nil {
			return err
		}
	}
	if err := ch.DeclareQueue(ctx, q.wire()); err != nil {
		return explainDeclare(q, err)
	}
	for _, b := range q.bindings {
		if err := q.bind(ctx, ch, b); err != nil {
			return explainBind(q, b, err)
		}
	}
	return nil
}

// wire returns the queue without what is bound to it.
func (q queue) wire() wire.Queue {
	return wire.Queue{Name: q.name, Durable: !q.transient, Exclusive: q.exclusive, AutoDelete: q.autoDelete || q.exclusive, Arguments: q.args}
}

func (q queue) bind(ctx context.Context, ch *wire.Channel, b binding) error {
	return ch.BindQueue(ctx, wire.Binding{From: b.exchange.name, To: q.name, Key: b.key, Arguments: b.args})
}

// explainBind says what to do when an exchange is missing that somebody else
// should have declared.
func explainBind(q queue, b binding, err error) error {
	if refused, ok := errors.AsType[*wire.Error](err); ok && refused.Code == wire.NotFound && b.exchange.undeclared {
		return refusedSetting{fmt.Errorf("bind %s: there is no %s, and this program is told not to declare it: start who declares it first, or let this program do it (%w)",
			q, b.exchange, err)}
	}
	return explainDeclare(q, err)
}

// checkName refuses a name that can't travel.
func checkName(kind, name string) error {
	if len(name) <= maxShortString {
		return nil
	}
	return refusedSetting{fmt.Errorf("the %s %.40q... has %d bytes, more than %d: give shorter names", kind, name, len(name), maxShortString)}
}

// refusedSetting is a declaration that will be refused again until somebody
// changes something on the broker.
type refusedSetting struct{ error }

func (r refusedSetting) Unwrap() error { return r.error }

// otherFlags reads RabbitMQ's text about a declaration that differs from what
// exists.
var otherFlags = regexp.MustCompile(`inequivalent arg '([^']*)' for (\w+) '(.*)' in vhost '(.*)': received (.*) but current is (.*)$`)

// explainDeclare says what to do about a declaration that the broker refused
// for good.
func explainDeclare(t topology, err error) error {
	refused, ok := errors.AsType[*wire.Error](err)
	if !ok {
		return err
	}
	switch refused.Code {
	case wire.PreconditionFailed:
		found := otherFlags.FindStringSubmatch(refused.Reason)
		if found == nil {
			return refusedSetting{fmt.Errorf("declare %s: %w: delete it on the broker, or have its other users declare it alike", t, err)}
		}
		arg, kind, name, vhost, want, have := found[1], found[2], found[3], found[4], found[5], found[6]
		return refusedSetting{fmt.Errorf("%s %q exists on vhost %q with %s %s, but %s is needed: %s (%w)",
			kind, name, vhost, arg, have, want, remedy(kind, name, vhost), err)}
	case wire.NotFound:
		if strings.Contains(refused.Reason, "is down or inaccessible") {
			return fmt.Errorf("declare %s: %w: its node is down, and a classic queue has no other; a quorum queue would (the setting queue-type)", t, err)
		}
		if q, ok := t.(queue); ok && q.undeclared {
			return refusedSetting{fmt.Errorf("there is no %s, and this program is told not to declare it: start who declares it first, or let this program do it (%w)", q, err)}
		}
	case wire.AccessRefused:
		return refusedSetting{fmt.Errorf("declare %s: %w: give the user permission with rabbitmqctl set_permissions", t, err)}
	}
	return fmt.Errorf("declare %s: %w", t, err)
}

func remedy(kind, name, vhost string) string {
	if kind == "queue" {
		return fmt.Sprintf("when nobody needs what is in it, run rabbitmqctl -p %s delete_queue %s", vhost, name)
	}
	return fmt.Sprintf("delete it (rabbitmqadmin -V %s delete exchange name=%s) and restart its users; "+
		"Nameko up to 2.12 declares event exchanges with auto_delete, later ones with AUTO_DELETE_EVENT_EXCHANGES", vhost, name)
}
