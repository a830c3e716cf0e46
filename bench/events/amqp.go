package events

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/nats-io/nuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/bench/document"
	"github.com/enoki-go/enoki/bench/harness"
	"github.com/enoki-go/enoki/bench/service"
)

// serveAMQP consumes a durable queue that is bound to a topic exchange, as
// those of Nameko's events are.
func serveAMQP(_ context.Context, w *harness.Work) (string, error) {
	conn, err := amqp.Dial(w.Broker)
	if err != nil {
		return "", err
	}
	channel, err := conn.Channel()
	if err != nil {
		return "", err
	}
	_, declared := channel.QueueDeclare(w.Name(), true, false, false, false, nil)
	err = errors.Join(declared,
		channel.ExchangeDeclare(w.Name(), "topic", true, false, false, false, nil),
		channel.QueueBind(w.Name(), "stored", w.Name(), false, nil),
		channel.Qos(service.Workers, 0, false))
	if err != nil {
		return "", err
	}
	events, err := channel.Consume(w.Name(), "", false, false, false, false, nil)
	if err != nil {
		return "", err
	}
	go func() {
		for d := range events {
			go handleAMQP(w, d)
		}
	}()
	return w.Broker, nil
}

func handleAMQP(w *harness.Work, event amqp.Delivery) {
	var d document.Document
	if err := json.Unmarshal(event.Body, &d); err != nil {
		_ = event.Nack(false, false) // it comes again when the channel is gone
		return
	}
	w.Done()
	_ = event.Ack(false) // the same
}

func dialAMQP(_ context.Context, w *harness.Work) (harness.Operation, error) {
	conn, err := amqp.Dial(w.Address)
	if err != nil {
		return nil, err
	}
	channel, err := conn.Channel()
	if err != nil {
		return nil, err
	}
	if err := channel.Confirm(false); err != nil {
		return nil, err
	}
	d, err := document.New(w.Size)
	return func(ctx context.Context) error { return publishAMQP(ctx, channel, w.Name(), d) }, err
}

// publishAMQP returns when the broker has confirmed the event.
func publishAMQP(ctx context.Context, channel *amqp.Channel, exchange string, d document.Document) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	body, err := json.Marshal(d)
	if err != nil {
		return err
	}
	confirmed, err := channel.PublishWithDeferredConfirmWithContext(ctx, exchange, "stored", false, false, amqp.Publishing{
		ContentType: "application/json", DeliveryMode: amqp.Persistent, MessageId: nuid.Next(), Body: body,
	})
	if err != nil {
		return err
	}
	ok, err := confirmed.WaitContext(ctx)
	if err == nil && !ok {
		err = errors.New("the broker refused the event")
	}
	return err
}
