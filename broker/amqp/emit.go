package amqp

import (
	"context"
	"fmt"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
	"github.com/enoki-go/enoki/internal/contextdata"
	"github.com/enoki-go/enoki/internal/uuid"
)

// eventsOf returns the exchange of the events of a service.
func (d *Driver) eventsOf(source string) exchange {
	return exchange{name: source + ".events", kind: "topic",
		autoDelete: d.config.AutoDeleteEvents, undeclared: d.config.EventsUndeclared}
}

// Emit implements [broker.Broker]. The broker drops an event that no queue is
// bound for, as Nameko's events are. It is ErrNotDelivered where a queue was
// bound for it before, and that has been undone on the broker. One that is due later needs RabbitMQ 3.10;
// when the broker is killed while the event moves from one queue of its way to
// the next, it may be late by three minutes, but it is not lost.
func (d *Driver) Emit(ctx context.Context, source, event string, m *broker.Message) error {
	if err := d.open(ctx); err != nil {
		return err
	}
	msg := publishing(m)
	headers, err := headersOf(m)
	if err != nil {
		return err
	}
	msg.MessageID = orNew(m.ID)
	ex := d.eventsOf(source)
	if n := steps(m.Due); n > 0 {
		return d.emitLater(ctx, ex, event, n, msg, headers)
	}
	return d.emit(ctx, ex, &outgoing{exchange: ex.name, key: event, repeatable: true, several: true, msg: msg, headers: headers})
}

// CheckEvent implements [broker.Broker].
func (d *Driver) CheckEvent(source, event string, m *broker.Message) error {
	headers, err := headersOf(m)
	if err != nil {
		return err
	}
	o := &outgoing{exchange: d.eventsOf(source).name, key: event, msg: publishing(m), headers: headers}
	o.msg.MessageID = m.ID
	return o.check(d.publisher.limits())
}

// publishing turns m into what all kinds of messages have in common on the
// wire. Priority 0 and an empty headers table, which Nameko sends, are the
// defaults of receivers; they are left out.
func publishing(m *broker.Message) wire.Message {
	return wire.Message{
		ContentType:     m.ContentType,
		ContentEncoding: encodingOf(m.ContentType),
		DeliveryMode:    wire.Persistent,
		Body:            m.Body,
	}
}

// headersOf returns the context data of m as they are written.
func headersOf(m *broker.Message) ([]byte, error) {
	headers, err := appendContext(make([]byte, 0, 512), m.Context)
	if err == nil {
		if err = contextdata.CheckSize(len(headers)); err != nil {
			err = fmt.Errorf("context data %w", err)
		}
	}
	if err == nil && m.OneWay {
		headers, err = wire.AppendField(wire.AppendShort(headers, headerOneWay), true, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", broker.ErrInvalid, err)
	}
	return headers, nil
}

// jsonType is the one content type that every Nameko service accepts, without
// any parameter. A message without a content type kills it: who calls this
// driver gives one.
const jsonType = "application/json"

// encodingOf returns the content encoding that Nameko gives a content type.
func encodingOf(contentType string) string {
	if contentType == "application/x-msgpack" {
		return "binary"
	}
	return "utf-8"
}

func orNew(id string) string {
	if id != "" {
		return id
	}
	return uuid.New()
}

// message turns a delivery into a message. id is that of the sender; a Python
// sender gives events none.
func message(d *wire.Delivery) *broker.Message {
	id := d.CorrelationID
	if id == "" {
		id = d.MessageID
	}
	contentType, body := inflated(d)
	return &broker.Message{
		ID:          orNew(id),
		Context:     contextOf(d.Headers),
		ContentType: contentType,
		Body:        body,
		Attempt:     attemptOf(d.Headers),
		OneWay:      d.Headers[headerOneWay] == true,
		Redelivered: d.Redelivered || cameAgain(d.Headers),
	}
}
