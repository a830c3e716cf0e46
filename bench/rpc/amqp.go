package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/bench/harness"
	"github.com/enoki-go/enoki/bench/service"
)

// exchange is Nameko's for requests and replies.
const exchange = "nameko-rpc"

// amqpLink is a connection by hand: one channel to consume, one in confirm
// mode to publish.
type amqpLink struct {
	conn                  *amqp.Connection
	consuming, publishing *amqp.Channel
}

func dialAMQPLink(url string) (*amqpLink, error) {
	conn, err := amqp.Dial(url)
	if err != nil {
		return nil, err
	}
	consuming, err := conn.Channel()
	if err != nil {
		return nil, err
	}
	publishing, err := conn.Channel()
	if err != nil {
		return nil, err
	}
	return &amqpLink{conn, consuming, publishing}, errors.Join(
		consuming.Qos(service.Workers, 0, false),
		publishing.Confirm(false),
		consuming.ExchangeDeclare(exchange, "topic", true, false, false, false, nil))
}

// publish returns when the broker has confirmed the message.
func (l *amqpLink) publish(ctx context.Context, key string, p amqp.Publishing) error {
	confirmed, err := l.publishing.PublishWithDeferredConfirmWithContext(ctx, exchange, key, true, false, p)
	if err != nil {
		return err
	}
	ok, err := confirmed.WaitContext(ctx)
	if err == nil && !ok {
		err = errors.New("the broker refused the message")
	}
	return err
}

// serveAMQP is a service by hand in Nameko's wire, with its guarantees: the
// reply is persistent, mandatory and confirmed, then the request is
// acknowledged.
func serveAMQP(ctx context.Context, w *harness.Work) (string, error) {
	l, err := dialAMQPLink(w.Broker)
	if err != nil {
		return "", err
	}
	queue := "rpc-" + w.Name()
	if _, err := l.consuming.QueueDeclare(queue, true, false, false, false, nil); err != nil {
		return "", err
	}
	if err := l.consuming.QueueBind(queue, w.Name()+".*", exchange, false, nil); err != nil {
		return "", err
	}
	requests, err := l.consuming.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return "", err
	}
	go func() {
		for d := range requests {
			go l.serve(ctx, d)
		}
	}()
	return w.Broker, nil
}

func (l *amqpLink) serve(ctx context.Context, d amqp.Delivery) {
	err := l.publish(ctx, d.ReplyTo, answerAMQP(d))
	if err != nil {
		_ = d.Nack(false, true) // the channel is gone: the broker gives it to another
		return
	}
	_ = d.Ack(false) // the same
}

// answerAMQP returns the reply to a request.
func answerAMQP(d amqp.Delivery) amqp.Publishing {
	body, err := standard.answer(d.Body)
	if err != nil {
		text := err.Error()
		body, _ = json.Marshal(reply{Error: &text}) // it is a struct of strings
	}
	return amqp.Publishing{ContentType: "application/json", DeliveryMode: amqp.Persistent, CorrelationId: d.CorrelationId, Body: body}
}

// amqpClient waits for replies.
type amqpClient struct {
	*amqpLink
	replyTo string

	mu      sync.Mutex                    // guards waiting
	waiting map[string]chan amqp.Delivery // by correlation id
}

func dialAMQP(ctx context.Context, w *harness.Work) (harness.Operation, error) {
	l, err := dialAMQPLink(w.Address)
	if err != nil {
		return nil, err
	}
	c := &amqpClient{amqpLink: l, replyTo: nuid.Next(), waiting: map[string]chan amqp.Delivery{}}
	queue := "rpc.reply-" + c.replyTo
	if _, err := l.consuming.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-expires": int32(300000)}); err != nil {
		return nil, err
	}
	if err := l.consuming.QueueBind(queue, c.replyTo, exchange, false, nil); err != nil {
		return nil, err
	}
	replies, err := l.consuming.Consume(queue, "", false, true, false, false, nil)
	if err != nil {
		return nil, err
	}
	go c.receive(replies)
	go c.returned(l.publishing.NotifyReturn(make(chan amqp.Return, service.Workers)))
	key := w.Name() + ".put"
	return sending(w, func(ctx context.Context, d Document) (Document, error) { return c.call(ctx, key, d) })
}

func (c *amqpClient) receive(replies <-chan amqp.Delivery) {
	for d := range replies {
		_ = d.Ack(false) // the channel is gone, and the queue with it
		c.deliver(d.CorrelationId, d)
	}
}

// returned ends the calls that nobody serves.
func (c *amqpClient) returned(returns <-chan amqp.Return) {
	for r := range returns {
		text := fmt.Sprintf("unknown service: %s", r.RoutingKey)
		body, _ := json.Marshal(reply{Error: &text}) // it is a struct of strings
		c.deliver(r.CorrelationId, amqp.Delivery{Body: body})
	}
}

func (c *amqpClient) deliver(id string, d amqp.Delivery) {
	c.mu.Lock()
	wait := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	if wait != nil {
		wait <- d
	}
}

func (c *amqpClient) expect(id string) chan amqp.Delivery {
	wait := make(chan amqp.Delivery, 1)
	c.mu.Lock()
	c.waiting[id] = wait
	c.mu.Unlock()
	return wait
}

func (c *amqpClient) forget(id string) {
	c.mu.Lock()
	delete(c.waiting, id)
	c.mu.Unlock()
}

func (c *amqpClient) call(ctx context.Context, key string, d Document) (Document, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	body, err := standard.request(d)
	if err != nil {
		return d, err
	}
	id := nuid.Next()
	wait := c.expect(id)
	defer c.forget(id)
	err = c.publish(ctx, key, amqp.Publishing{
		Headers:     amqp.Table{"nameko.call_id_stack": []any{"bench." + id}},
		ContentType: "application/json", DeliveryMode: amqp.Persistent,
		CorrelationId: id, ReplyTo: c.replyTo, Timestamp: time.Now(), Body: body,
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
