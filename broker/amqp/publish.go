package amqp

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// Publishing is a message on its way to an exchange. Its properties are those
// of AMQP; the zero value of each leaves it out.
type Publishing struct {
	Exchange   string // empty leads to the queue that RoutingKey names
	RoutingKey string
	Declare    []Declaration // made sure of before

	// Message gives the body, its content type, the context data and the
	// message id, which is a new one if it has none.
	Message *broker.Message

	// Headers travel beside the context data, which goes first.
	Headers map[string]any

	Mandatory   bool          // a message that no queue takes is broker.ErrNotDelivered
	Unconfirmed bool          // returns once it is on its way, without the broker's word
	Transient   bool          // not kept over a restart of the broker: delivery mode 1
	Priority    uint8         // for queues that have x-max-priority
	Expiration  time.Duration // how long it may wait in a queue, in steps of 1 ms
	Compression string        // gzip or zlib, both kombu's: a zlib stream

	ContentEncoding        string // Default: utf-8
	CorrelationID, ReplyTo string
	Type, AppID            string
	Timestamp              time.Time
}

// Check returns what can't be sent, whatever the message.
func (p *Publishing) Check() error {
	if p.Compression != "" && !isDeflate(p.Compression) {
		return fmt.Errorf("compression is %q, want gzip or zlib", p.Compression)
	}
	if p.Expiration < 0 {
		return fmt.Errorf("expiration is %v; give more than 0, or 0 for none", p.Expiration)
	}
	if _, err := arguments(p.Headers); err != nil {
		return fmt.Errorf("headers: %w", err)
	}
	if err := checkRoutes(p.Headers); err != nil {
		return err
	}
	for _, one := range p.Declare {
		if err := one.Check(); err != nil {
			return err
		}
	}
	return nil
}

// routeHeaders name further routing keys of a message.
var routeHeaders = []string{"CC", "BCC"}

// checkRoutes refuses further routing keys that RabbitMQ can't read: it would
// close the channel.
func checkRoutes(headers map[string]any) error {
	for _, name := range routeHeaders {
		v, given := headers[name]
		if !given {
			continue
		}
		keys, isList := v.([]any)
		for _, key := range keys {
			if text, isText := key.(string); !isText || len(text) > maxShortString {
				isList = false
			}
		}
		if !isList {
			return fmt.Errorf("header %s is %v; give a list ([]any) of routing keys of up to %d bytes", name, v, maxShortString)
		}
	}
	return nil
}

// Publish sends a message to an exchange and returns when the broker has
// stored it for every queue that takes it. The errors are those of
// [broker.Broker.Emit]; an exchange that is not there is ErrNotDelivered.
func (d *Driver) Publish(ctx context.Context, p *Publishing) error {
	if err := d.open(ctx); err != nil {
		return err
	}
	if err := p.Check(); err != nil {
		return fmt.Errorf("%w: %w", broker.ErrInvalid, err)
	}
	msg := p.properties()
	var err error
	for range 2 {
		if err := d.Declare(ctx, p.Declare...); err != nil {
			return fmt.Errorf("%w: %w", broker.ErrNotDelivered, err)
		}
		o := &outgoing{exchange: p.Exchange, key: p.RoutingKey, mandatory: p.Mandatory, repeatable: true, several: p.Exchange != "", unawaited: p.Unconfirmed, msg: msg}
		if p.Unconfirmed {
			return d.publisher.submit(ctx, o)
		}
		err = d.publisher.publish(ctx, o)
		if !isGone(err) {
			return err
		}
		d.forget(p.Declare) // somebody deleted it since; once more, with a new one
	}
	return err
}

// properties returns the message as it goes on the wire.
func (p *Publishing) properties() wire.Message {
	msg := publishing(p.Message)
	msg.Headers = make(wire.Table, len(p.Headers)+len(p.Message.Context)+1)
	maps.Copy(msg.Headers, p.Headers)
	for k, v := range p.Message.Context {
		if v != nil {
			msg.Headers[contextPrefix+k] = v
		}
	}
	if p.Compression != "" {
		msg.Body = deflate(msg.Body)
		msg.Headers[headerCompression] = zlibType
	}
	if p.Transient {
		msg.DeliveryMode = wire.Transient
	}
	if p.Expiration > 0 {
		msg.Expiration = strconv.FormatInt(max(1, p.Expiration.Milliseconds()), 10)
	}
	msg.Priority = p.Priority
	msg.ContentEncoding = cmp.Or(p.ContentEncoding, msg.ContentEncoding)
	msg.MessageID = orNew(p.Message.ID)
	msg.CorrelationID, msg.ReplyTo = p.CorrelationID, p.ReplyTo
	msg.Type, msg.AppID, msg.Timestamp = p.Type, p.AppID, p.Timestamp
	return msg
}
