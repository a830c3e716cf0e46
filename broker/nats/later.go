package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker"
)

// An event that is due later waits in a stream of its own, because the server
// schedules nothing in a stream that refuses when it is full, as that of the
// events has to. Whoever handles events also carries those that are due from
// there to the stream of the events. Waiting is the server's: it has had
// schedules since 2.12. Before that the event is given back, each time it
// comes, for as long as it has to wait yet.

// Headers of an event that waits.
const (
	dueHeader      = "Enoki-Due" // RFC 3339
	scheduleHeader = "Nats-Schedule"
	targetHeader   = "Nats-Schedule-Target"
	waitHeaders    = "Nats-Schedule" // begins the names of what the server adds
)

// carrier names the consumer of the events that are due.
const carrier = "due"

// carriers is how many events one instance carries at once.
const carriers = 16

// postpone makes msg, which is for the stream of the events, wait until due.
func (d *Driver) postpone(msg *natsgo.Msg, due time.Time) {
	at := due.UTC().Format(time.RFC3339Nano)
	rest := strings.TrimPrefix(msg.Subject, eventPrefix)
	msg.Subject = duePrefix + rest
	msg.Header[dueHeader] = []string{at}
	if !d.streams.schedules() {
		return
	}
	msg.Header[targetHeader] = []string{msg.Subject}
	msg.Header[scheduleHeader] = []string{"@at " + at}
	msg.Subject = laterPrefix + rest + "." + token(headerOf(msg, idHeader))
}

// dueOf returns when a message is due. One without a time, of a foreign sender,
// is so at once.
func dueOf(msg *natsgo.Msg) time.Time {
	due, _ := time.Parse(time.RFC3339Nano, headerOf(msg, dueHeader))
	return due
}

// newCarrier returns the consumer that carries the events that are due.
func newCarrier(m *member) *consumer {
	c := newConsumer(m, broker.Subscription{Handler: carrier, Source: "any service", Event: "due"})
	c.stream, c.name, c.carries = laterStream, carrier, true
	c.workers = newWorkers(carriers, c.carry)
	return c
}

// carrierConfig is what all instances of all services share.
func carrierConfig(ackWait time.Duration) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Name:          carrier,
		Durable:       carrier,
		Description:   "Enoki: carries events that are due",
		FilterSubject: duePrefix + ">",
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
		MaxDeliver:    -1,
		MaxAckPending: -1, // without schedules, all that wait are pending
		MaxWaiting:    maxRequests,
	}
}

// carry moves one event to the stream of the events, where it has the id that
// it would have had without a delay: one that is carried twice is dropped.
func (c *consumer) carry(dv *delivery) {
	defer c.release(dv)
	defer func() {
		if p := recover(); p != nil {
			dv.settle(dv.failed(nil, broker.Ended(p)))
		}
	}()
	if left := time.Until(dueOf(dv.msg)); left > 0 {
		dv.nak(left)
		return
	}
	d := c.member.driver
	header := make(natsgo.Header, len(dv.msg.Header)+1) // a foreign event may have none
	for name, values := range dv.msg.Header {
		if name != dueHeader && !strings.HasPrefix(name, waitHeaders) {
			header[name] = values
		}
	}
	if len(header[idHeader]) == 0 { // two of foreign senders must not be one to the broker
		header[idHeader] = []string{fmt.Sprint(laterStream, "/", dv.sequence)}
	}
	subject := eventPrefix + strings.TrimPrefix(dv.msg.Subject, duePrefix)
	msg := &natsgo.Msg{Subject: subject, Header: header, Data: dv.msg.Data}
	setMsgID(msg)
	ctx, cancel := context.WithTimeout(c.member.ctx, settleTimeout)
	defer cancel()
	if err := d.deliver(ctx, sourceOf(subject), msg); errors.Is(err, broker.ErrInvalid) {
		dv.settle(dv.failed(nil, err))
		return
	} else if err != nil {
		d.log.Warn("an event that is due can't be stored; it will be tried again", "subject", subject, "error", err)
		dv.nak(retryPause)
		return
	}
	dv.send(ackDone)
}
