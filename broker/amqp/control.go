package amqp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
	"github.com/enoki-go/enoki/internal/uuid"
)

// control is the exchange over which Enoki's instances find each other and
// callers cancel. Nameko knows nothing of it.
var control = exchange{name: "enoki.control", kind: "topic"}

// What is said on it, as the type of the message.
const (
	controlPing   = "ping"   // routing key pingKey; the answer goes to reply_to
	controlCancel = "cancel" // routing key cancelKey; the correlation id is the call's

	controlBindType = "bind" // routing key pingKey; a controlBind, with an answer to reply_to if there is one

	pingKey = "all"

	controlPrefetch = 16
	controlTimeout  = 5 * time.Second // of sending one message
	firstAnswer     = time.Second     // a service on a busy machine has to be given the processor
	answersEnd      = 300 * time.Millisecond
	maxInstances    = 4096 // that one Services can find
)

func cancelKey(service string) string { return "service." + service }

// controlQueue is this instance's own.
func (m *member) controlQueue() queue {
	return queue{
		name: "enoki.control-" + m.service.Name + "-" + m.service.ID, exclusive: true,
		bindings: []binding{{exchange: control, key: pingKey}, {exchange: control, key: cancelKey(m.service.Name)}},
	}
}

// controlled does what a control message asks.
func (m *member) controlled(d *delivery) {
	defer func() { _ = d.Ack() }() // one that is lost is no matter
	switch d.Type {
	case controlPing:
		if !m.leaving.Load() {
			m.answer(d, m.service.Instance)
		}
	case controlBindType:
		m.bindAgain(d)
	case controlCancel:
		m.cancel(d.CorrelationID)
	}
}

func (m *member) answer(d *delivery, with any) {
	body, err := json.Marshal(with)
	if err != nil {
		m.log.Error("can't answer a control message", "error", err)
		return
	}
	ctx, cancel := context.WithTimeout(m.hard, controlTimeout)
	defer cancel()
	err = m.driver.publisher.publish(ctx, &outgoing{
		exchange: m.driver.config.RPCExchange, key: d.ReplyTo, repeatable: true,
		msg: wire.Message{ContentType: jsonType, CorrelationID: d.CorrelationID, Body: body},
	})
	if err != nil {
		m.log.Debug("can't answer who asked for instances", "error", err)
	}
}

// goCancel tells the instance that has the call, or will get it, that nobody
// waits for it any more. It does not wait: the caller has no time left.
func (d *Driver) goCancel(service, id string) {
	d.goRun(func() {
		ctx, cancel := context.WithTimeout(d.ctx, controlTimeout)
		defer cancel()
		if err := d.say(ctx, cancelKey(service), wire.Message{Type: controlCancel, CorrelationID: id}); err != nil {
			d.log.Debug("can't cancel a call", "service", service, "error", err)
		}
	})
}

// say publishes a control message, which is not worth to be stored.
func (d *Driver) say(ctx context.Context, key string, msg wire.Message) error {
	var err error
	for range 2 {
		if err = d.declare(ctx, control); err != nil {
			return err
		}
		err = d.publisher.publish(ctx, &outgoing{exchange: control.name, key: key, repeatable: true, several: true, msg: msg})
		if !isGone(err) {
			return err
		}
		d.undeclare(control)
	}
	return err
}

// Services implements [broker.Broker]. It shows Enoki's instances only.
func (d *Driver) Services(ctx context.Context) ([]broker.Instance, error) {
	if err := d.open(ctx); err != nil {
		return nil, err
	}
	if err := d.replies.await(ctx); err != nil {
		return nil, err
	}
	id := uuid.New()
	w, err := d.replies.expect(id, maxInstances)
	if err != nil {
		return nil, err
	}
	defer d.replies.forget(id)
	ping := wire.Message{Type: controlPing, CorrelationID: id, ReplyTo: d.replies.key}
	if err := d.say(ctx, pingKey, ping); err != nil {
		return nil, err
	}
	var instances []broker.Instance
	d.gather(ctx, w, func(answer *delivery) error {
		i, err := instance(answer.Body)
		if err == nil {
			instances = append(instances, i)
		}
		return err
	})
	slices.SortFunc(instances, func(a, b broker.Instance) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	// A ping that was sent again is answered again.
	return slices.CompactFunc(instances, func(a, b broker.Instance) bool { return a.Name == b.Name && a.ID == b.ID }), nil
}

// instance reads the answer to a ping.
func instance(body []byte) (broker.Instance, error) {
	var i broker.Instance
	err := json.Unmarshal(body, &i)
	if err == nil && i.Name == "" {
		err = errors.New("it names no service")
	}
	return i, err
}

// taken gives an answer to take.
func (d *Driver) taken(answer *delivery, take func(*delivery) error) (err error) {
	defer guard(d.log, "an answer", &err)
	return take(answer)
}

// gather takes answers until they stop coming.
func (d *Driver) gather(ctx context.Context, w *waiter, take func(*delivery) error) {
	quiet := time.NewTimer(firstAnswer)
	defer quiet.Stop()
	for {
		select {
		case answer := <-w.replies:
			if err := d.taken(answer, take); err != nil {
				d.log.Warn("an instance answers unreadably", "error", err)
				continue
			}
			quiet.Reset(answersEnd)
		case <-quiet.C:
			return
		case <-w.expired:
			return
		case <-ctx.Done():
			return
		case <-d.ctx.Done():
			return
		}
	}
}
