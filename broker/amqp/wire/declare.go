package wire

import "context"

// Exchange is an exchange to be declared.
type Exchange struct {
	Name       string
	Kind       string // topic, fanout, direct, headers or a plug-in's
	Durable    bool   // stays when the broker starts again
	AutoDelete bool   // goes when the last queue is unbound
	Arguments  Table
}

// Queue is a queue to be declared.
type Queue struct {
	Name       string
	Durable    bool // stays when the broker starts again
	Exclusive  bool // this connection's alone, and goes with it
	AutoDelete bool // goes with its last consumer
	Arguments  Table
}

// QueueState is how much a queue has to do.
type QueueState struct {
	Messages  int // that are ready
	Consumers int
}

// Binding has what an exchange gets under a key go to a queue or to another
// exchange.
type Binding struct {
	From, To  string
	Key       string
	Arguments Table
}

// DeclareExchange makes an exchange unless it is there. One that is there must
// be the same.
func (ch *Channel) DeclareExchange(ctx context.Context, e Exchange) error {
	return ch.declareExchange(ctx, e, false)
}

// FindExchange fails with NotFound if there is no exchange of the name, and then
// the channel is closed. RabbitMQ looks at nothing but the name.
func (ch *Channel) FindExchange(ctx context.Context, e Exchange) error {
	return ch.declareExchange(ctx, e, true)
}

func (ch *Channel) declareExchange(ctx context.Context, e Exchange, passive bool) error {
	a := argumentsOf(exchangeDeclare).uint16(0).short("exchange", e.Name).short("type", e.Kind).
		bits(passive, e.Durable, e.AutoDelete, false, false).table(e.Arguments)
	_, err := ch.call(ctx, a, exchangeDeclareOK)
	return err
}

// DeclareQueue makes a queue unless it is there. One that is there must be the
// same.
func (ch *Channel) DeclareQueue(ctx context.Context, q Queue) error {
	_, err := ch.declareQueue(ctx, q, false)
	return err
}

// FindQueue fails with NotFound if there is no queue of the name, and then the
// channel is closed. RabbitMQ looks at nothing but the name.
func (ch *Channel) FindQueue(ctx context.Context, q Queue) (QueueState, error) {
	return ch.declareQueue(ctx, q, true)
}

func (ch *Channel) declareQueue(ctx context.Context, q Queue, passive bool) (QueueState, error) {
	a := argumentsOf(queueDeclare).uint16(0).short("queue", q.Name).
		bits(passive, q.Durable, q.Exclusive, q.AutoDelete, false).table(q.Arguments)
	d, err := ch.call(ctx, a, queueDeclareOK)
	if err != nil {
		return QueueState{}, err
	}
	d.short() // the name
	state := QueueState{Messages: int(d.uint32()), Consumers: int(d.uint32())}
	if d.broken {
		return QueueState{}, malformed("%s can't be read", queueDeclareOK)
	}
	return state, nil
}

// BindQueue binds a queue, which is no mistake if it is bound already.
func (ch *Channel) BindQueue(ctx context.Context, b Binding) error {
	a := argumentsOf(queueBind).uint16(0).short("queue", b.To).short("exchange", b.From).short("binding key", b.Key).
		bits(false).table(b.Arguments)
	_, err := ch.call(ctx, a, queueBindOK)
	return err
}

// BindExchange is BindQueue for an exchange.
func (ch *Channel) BindExchange(ctx context.Context, b Binding) error {
	a := argumentsOf(exchangeBind).uint16(0).short("exchange", b.To).short("exchange", b.From).short("binding key", b.Key).
		bits(false).table(b.Arguments)
	_, err := ch.call(ctx, a, exchangeBindOK)
	return err
}

// DeleteQueue deletes a queue; if idle, only when it has neither a consumer nor
// a message, and else it fails with PreconditionFailed. It is no mistake if
// there is none.
func (ch *Channel) DeleteQueue(ctx context.Context, name string, idle bool) error {
	a := argumentsOf(queueDelete).uint16(0).short("queue", name).bits(idle, idle, false)
	_, err := ch.call(ctx, a, queueDeleteOK)
	return err
}
