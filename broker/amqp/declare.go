package amqp

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// Declaration is an Exchange or a Queue.
type Declaration interface {
	// Check returns why it can't be declared on any broker.
	Check() error
	topology() (topology, error)
}

// Exchange is an exchange as those who use it agree on it. Its flags must be
// the same for all of them. They are kombu's, and so are the defaults: durable,
// and stays when nobody uses it.
type Exchange struct {
	// Name; empty is the exchange that is always there and leads to the queue
	// that the routing key names.
	Name string

	Type       string         // direct, fanout, topic, headers or a plugin's. Default: direct
	Transient  bool           // goes when the broker starts again; kombu's durable=False
	AutoDelete bool           // goes when the last queue is unbound
	Undeclared bool           // is there already, somebody else declares it; kombu's no_declare=True
	Arguments  map[string]any // such as alternate-exchange
}

// Queue is a queue as those who use it agree on it. Its flags must be the same
// for all of them. They are kombu's, and so are the defaults: durable, shared,
// and stays when nobody uses it.
type Queue struct {
	Name string

	Exchange   Exchange // bound to it under RoutingKey, unless it has no name
	RoutingKey string
	Bindings   []Binding // further ones

	Transient  bool           // goes when the broker starts again; kombu's durable=False
	Exclusive  bool           // for one connection, and goes with its consumer
	AutoDelete bool           // goes with its last consumer
	Undeclared bool           // is there already, somebody else declares and binds it; kombu's no_declare=True
	Arguments  map[string]any // such as x-message-ttl, x-max-priority
}

// Binding has an exchange send a queue what has a routing key.
type Binding struct {
	Exchange   Exchange
	RoutingKey string
	Arguments  map[string]any // what an exchange of type headers looks for
}

// Check implements [Declaration].
func (e Exchange) Check() error { _, err := e.exchange(); return err }

func (e Exchange) topology() (topology, error) { return e.exchange() }

func (e Exchange) exchange() (exchange, error) {
	out := exchange{name: e.Name, kind: e.Type, transient: e.Transient, autoDelete: e.AutoDelete, undeclared: e.Undeclared}
	if out.kind == "" {
		out.kind = "direct"
	}
	var err error
	if out.args, err = arguments(e.Arguments); err != nil {
		return out, fmt.Errorf("%s: arguments: %w", out, err)
	}
	return out, nil
}

// Check implements [Declaration].
func (q Queue) Check() error { _, err := q.queue(); return err }

func (q Queue) topology() (topology, error) { return q.queue() }

func (q Queue) queue() (queue, error) {
	out := queue{name: q.Name, transient: q.Transient, exclusive: q.Exclusive, autoDelete: q.AutoDelete, undeclared: q.Undeclared}
	if q.Name == "" {
		return out, errors.New("a queue has no name; give it one")
	}
	var err error
	if out.args, err = arguments(q.Arguments); err != nil {
		return out, fmt.Errorf("%s: arguments: %w", out, err)
	}
	bindings := q.Bindings
	if q.Exchange.Name != "" {
		bindings = append([]Binding{{Exchange: q.Exchange, RoutingKey: q.RoutingKey}}, bindings...)
	}
	for _, b := range bindings {
		bound := binding{key: b.RoutingKey}
		if bound.exchange, err = b.Exchange.exchange(); err != nil {
			return out, err
		}
		if bound.args, err = arguments(b.Arguments); err != nil {
			return out, fmt.Errorf("%s, binding %q: arguments: %w", out, b.RoutingKey, err)
		}
		out.bindings = append(out.bindings, bound)
	}
	return out, nil
}

// arguments returns nil for none, as a declaration without any must be.
func arguments(given map[string]any) (wire.Table, error) {
	if len(given) == 0 {
		return nil, nil
	}
	if _, err := wire.AppendTable(nil, given); err != nil {
		return nil, err
	}
	return maps.Clone(given), nil
}

// Declare makes sure that all of them exist, and asks the broker once for each
// name and connection. One that exists with other flags is an error that says
// what to do. An exclusive queue belongs to this link.
func (d *Driver) Declare(ctx context.Context, all ...Declaration) error {
	if err := d.open(ctx); err != nil {
		return err
	}
	for _, one := range all {
		t, err := one.topology()
		if err == nil {
			err = d.declare(ctx, t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forget has the next Declare ask the broker again.
func (d *Driver) forget(all []Declaration) {
	for _, one := range all {
		if t, err := one.topology(); err == nil {
			d.undeclare(t)
		}
	}
}
