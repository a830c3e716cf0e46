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

// A delayed event waits in a stream of its own. The server schedules nothing in
// a stream that refuses messages when it is full, and the streams of events
// must do so. Every instance that handles events also carries due events from
// there to the stream of their source. The server does the waiting: it has
// schedules since 2.12. With an older server, an event that comes too early is
// given back until it is due.

// Headers of a waiting event.
const (
	dueHeader      = "Enoki-Due" // RFC 3339
	scheduleHeader = "Nats-Schedule"
	targetHeader   = "Nats-Schedule-Target"
	waitHeaders    = "Nats-Schedule" // the beginning of the header names that the server adds
)

// carrier is the name of the consumer of due events.
const carrier = "due"

// carriers is how many events one instance carries at once.
const carriers = 16

// postpone makes msg, which is for a stream of events, wait until due.
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

// dueOf returns when a message is due. A message of a foreign program without a
// time is due at once.
func dueOf(msg *natsgo.Msg) time.Time {
	due, _ := time.Parse(time.RFC3339Nano, headerOf(msg, dueHeader))
	return due
}

// newCarrier returns the consumer that carries due events.
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
		MaxAckPending: -1, // without schedules, all waiting events are pending
		MaxWaiting:    maxRequests,
	}
}

// carry moves one event to the stream of its source. There it gets the id that
// it would have had without a delay, so the second copy of an event is dropped.
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
	if len(header[idHeader]) == 0 { // the broker must not take two foreign events for one
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
