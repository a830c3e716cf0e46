package rpc

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/nats-io/nuid"

	"github.com/enoki-go/enoki/bench/harness"
)

// directReplies is RabbitMQ's name for the replies of a channel: no queue.
const directReplies = "amq.rabbitmq.reply-to"

// serveAtMostOnce is a service by hand that may lose a call: acknowledged when
// it is sent, nothing stored, nothing confirmed.
func serveAtMostOnce(ctx context.Context, w *harness.Work) (string, error) {
	l, err := dialAMQPLink(w.Broker)
	if err != nil {
		return "", err
	}
	queue := w.Name()
	if _, err := l.consuming.QueueDeclare(queue, false, true, false, false, nil); err != nil {
		return "", err
	}
	requests, err := l.consuming.Consume(queue, "", true, false, false, false, nil)
	if err != nil {
		return "", err
	}
	publishing, err := l.conn.Channel()
	if err != nil {
		return "", err
	}
	go func() {
		for d := range requests {
			go func() {
				p := answerAMQP(d)
				p.DeliveryMode = amqp.Transient
				_ = publishing.PublishWithContext(ctx, "", d.ReplyTo, false, false, p) // at most once
			}()
		}
	}()
	return w.Broker, nil
}

func dialAtMostOnce(_ context.Context, w *harness.Work) (harness.Operation, error) {
	l, err := dialAMQPLink(w.Address)
	if err != nil {
		return nil, err
	}
	channel, err := l.conn.Channel()
	if err != nil {
		return nil, err
	}
	c := &amqpClient{amqpLink: l, waiting: map[string]chan amqp.Delivery{}}
	replies, err := channel.Consume(directReplies, "", true, false, false, false, nil)
	if err != nil {
		return nil, err
	}
	go func() {
		for d := range replies {
			c.deliver(d.CorrelationId, d)
		}
	}()
	queue := w.Name()
	return sending(w, func(ctx context.Context, d Document) (Document, error) {
		return c.callAtMostOnce(ctx, channel, queue, d)
	})
}

func (c *amqpClient) callAtMostOnce(ctx context.Context, channel *amqp.Channel, queue string, d Document) (Document, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	body, err := standard.request(d)
	if err != nil {
		return d, err
	}
	id := nuid.Next()
	wait := c.expect(id)
	defer c.forget(id)
	err = channel.PublishWithContext(ctx, "", queue, false, false, amqp.Publishing{
		ContentType: "application/json", CorrelationId: id, ReplyTo: directReplies, Body: body,
	})
	if err != nil {
		return d, err
	}
	select {
	case reply := <-wait:
		return standard.result(reply.Body)
	case <-ctx.Done():
		return d, ctx.Err()
	}
}
