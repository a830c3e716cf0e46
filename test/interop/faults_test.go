package interop_test

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/enoki-go/enoki"
)

// faultBehaviours are lost, broken and silent connections.
func faultBehaviours() []*behaviour {
	return []*behaviour{
		{id: "C33", title: "the link of an idle service is reset: calls are answered", alone: true, run: idleReset},
		{id: "C34", title: "the caller's link is reset while it waits: the reply comes", alone: true, run: callerReset},
		{id: "C35", title: "a service's link is reset during an event: the handler runs again", alone: true, run: eventReset},
		{id: "C36", title: "a service's link is reset during a call: one result, the second reply ignored", alone: true, run: callReset},
		{id: "C37", title: "the broker is gone for a while: calls, replies and events go on", alone: true, run: outage},
		{id: "C38", title: "a connection that stalls, then closes", alone: true, run: stalls},
		{id: "C39", title: "what a service sends is lost: it is back after some heartbeats", alone: true, run: lostUpstream},
		{id: "C40", title: "what the broker sends is lost: it is back after some heartbeats", alone: true, run: lostDownstream,
			better: serviceIn(golang, "Nameko never notices, and skips its own test of it; Enoki does"),
			lacks:  serviceIn(snake, "Nameko never notices, and skips its own test of it")},
		{id: "C41", title: "no broker: an event is an error, no hang", alone: true, run: noBroker},
		{id: "C42", title: "a stale publisher fails once and works when the broker is back", alone: true, run: stalePublisher},
		{id: "C43", title: "a connection that was reset is replaced unseen by who publishes", alone: true, run: resetPublisher},
		{id: "C44", title: "an ack and a failure after the link was lost: no crash, redelivery", alone: true, run: lateSettlement},
	}
}

// answers ends the trial unless the service answers a call.
func (x *trial) answers(client *caller, service string) {
	x.Helper()
	x.returns(client.call(service, "echo", "here"), "here")
}

// settles is answers, and waits until the call is acked. A Nameko service dies
// when its link is lost just while it acks.
func (x *trial) settles(client *caller, p peer, service string) {
	x.Helper()
	mark := p.wire().mark()
	x.answers(client, service)
	call := p.wire().await(mark, "basic.deliver", carries(service+".echo"))
	if call == nil || p.wire().await(mark, "basic.ack", acks(call)) == nil {
		x.Fatalf("the call was not acked")
	}
}

// unlink breaks the connections of a peer: all of one in Go, and of one in
// Python those that consume, as Nameko's own tests do. A publisher of Nameko
// may hang for ever when its connection goes at the wrong moment.
func unlink(p peer) {
	if p.language() == golang {
		p.wire().reset()
		return
	}
	breakAll(p.wire().consuming())
}

func idleReset(x *trial) {
	service := x.ownService(peerSpec{})
	client := x.caller(x.ownClient(peerSpec{}), clientSpec{})
	name := x.name("svc")
	x.serve(service, serviceSpec{Name: name})
	x.settles(client, service, name)
	unlink(service)
	x.answers(client, name)
}

func callerReset(x *trial) {
	service := x.ownService(peerSpec{})
	name := x.name("svc")
	instance := x.serve(service, serviceSpec{Name: name})
	for _, kind := range []string{standalone, inService} {
		gate := x.name("gate")
		own := x.ownClient(peerSpec{})
		client := x.caller(own, clientSpec{Kind: kind})
		done := client.begin(name, "hold", gate)
		x.noted(service, name)
		unlink(own)
		x.waits(done)
		service.release(gate)
		x.returns(x.ended(done), instance)
		x.answers(client, name)
	}
}

func eventReset(x *trial) {
	service, client := x.ownService(peerSpec{}), x.ownClient(peerSpec{})
	source, name, gate := x.name("src"), x.name("svc"), x.name("gate")
	x.serve(service, serviceSpec{Name: name, Handlers: []handlerSpec{{Name: "on_told", Source: source, Event: "told", Gate: gate}}})
	x.emits(client, source, "told", 1)
	x.noted(service, name)
	unlink(service)
	if n := x.noted(service, name); string(n.Payload) != "1" {
		x.Fatalf("handled was %s", n.Payload)
	}
	service.release(gate)
	x.silent(service, name)
	x.emits(client, source, "told", 2)
	if n := x.noted(service, name); string(n.Payload) != "2" {
		x.Fatalf("handled was %s", n.Payload)
	}
}

func callReset(x *trial) {
	service := x.ownService(peerSpec{})
	name := x.name("svc")
	instance := x.serve(service, serviceSpec{Name: name})
	for _, kind := range []string{standalone, inService} {
		gate := x.name("gate")
		client := x.caller(x.ownClient(peerSpec{}), clientSpec{Kind: kind})
		done := client.begin(name, "hold", gate)
		x.noted(service, name)
		unlink(service)
		x.noted(service, name) // again, for the request was not acked
		service.release(gate)
		x.returns(x.ended(done), instance)
		x.answers(client, name)
	}
}

func outage(x *trial) {
	service, own := x.ownService(peerSpec{}), x.ownClient(peerSpec{})
	client := x.caller(x.ownClient(peerSpec{}), clientSpec{})
	source, name, gate := x.name("src"), x.name("svc"), x.name("gate")
	instance := x.serve(service, serviceSpec{Name: name, Handlers: []handlerSpec{{Name: "on_told", Source: source, Event: "told"}}})
	x.settles(client, service, name)

	service.wire().cut()
	done := client.begin(name, "echo", "later")
	x.emits(own, source, "told", 1)
	x.waits(done)
	service.wire().mend()
	x.returns(x.ended(done), "later")
	x.noted(service, name)

	inside := x.caller(own, clientSpec{Kind: inService})
	done = inside.begin(name, "hold", gate)
	x.noted(service, name)
	own.wire().cut()
	service.release(gate)
	x.waits(done)
	own.wire().mend()
	x.returns(x.ended(done), instance)
}

func stalls(x *trial) {
	service := x.ownService(peerSpec{})
	client := x.caller(x.ownClient(peerSpec{}), clientSpec{})
	name := x.name("svc")
	x.serve(service, serviceSpec{Name: name})
	for _, direction := range []int{toBroker, toClient} {
		x.settles(client, service, name)
		service.wire().lose(direction)
		done := client.begin(name, "echo", "stalled")
		if direction == toBroker { // only the ack is lost
			x.returns(x.ended(done), "stalled")
		}
		<-time.After(quiet)
		unlink(service)
		if direction == toClient {
			x.returns(x.ended(done), "stalled")
		}
		x.answers(client, name)
		x.until("the queue is empty", func() bool {
			q := x.queue("rpc-" + name)
			return q != nil && q.Messages == 0 && q.Consumers == 1
		})
	}
}

func lostUpstream(x *trial) { x.loses(toBroker) }

func lostDownstream(x *trial) { x.loses(toClient) }

// loses makes what goes in one direction vanish until the service notices.
func (x *trial) loses(direction int) {
	x.Helper()
	service := x.ownService(peerSpec{heartbeat: 2 * time.Second})
	client := x.caller(x.ownClient(peerSpec{}), clientSpec{})
	name := x.name("svc")
	x.serve(service, serviceSpec{Name: name})
	x.answers(client, name)
	lines := service.wire().lose(direction)
	if !service.wire().gone(lines, patience) { // less than heartbeats take that were not configured
		x.Fatalf("the connection is still used %v after it went silent", patience)
	}
	x.answers(client, name)
}

// withoutBroker takes the broker from a peer. One in Go has noticed it then: what
// is emitted just before may have arrived, and has another error.
func (x *trial) withoutBroker(p peer) {
	x.Helper()
	p.wire().cut()
	if p, ok := p.(*goPeer); ok {
		x.until("the link is known to be lost", func() bool { return p.link.Ready() != nil })
	}
}

func noBroker(x *trial) {
	client := x.ownClient(peerSpec{})
	source := x.name("src")
	x.serve(client, serviceSpec{Name: source})
	x.emits(client, source, "told", 1)
	x.withoutBroker(client)
	begun := time.Now()
	const timeout = 15 // seconds
	x.failsAs(client.emit(emitSpec{Source: source, Event: "told", Payload: 1, Timeout: timeout}), enoki.NotDelivered, "kombu.exceptions.OperationalError")
	if passed := time.Since(begun); passed > timeout*time.Second+patience {
		x.Fatalf("the error came after %v", passed)
	}
	client.wire().mend()
	x.until("events are emitted again", func() bool {
		return client.emit(emitSpec{Source: source, Event: "told", Payload: 1}) == nil
	})
}

func stalePublisher(x *trial) {
	client := x.ownClient(peerSpec{})
	source := x.name("src")
	x.serve(client, serviceSpec{Name: source})
	once := emitSpec{Source: source, Event: "told", Payload: 1, Options: map[string]any{"retry": false}}
	if f := client.emit(once); f != nil {
		x.Fatalf("emit: %v", f)
	}
	once.Timeout = 5
	x.withoutBroker(client)
	x.failsAs(client.emit(once), enoki.NotDelivered, "builtins.ConnectionResetError")
	client.wire().mend()
	x.until("events are emitted again", func() bool { return client.emit(once) == nil })
}

func resetPublisher(x *trial) {
	client := x.ownClient(peerSpec{})
	source := x.name("src")
	x.serve(client, serviceSpec{Name: source})
	x.emits(client, source, "told", 1)
	client.wire().reset()
	x.emits(client, source, "told", 2)
}

func lateSettlement(x *trial) {
	service, client := x.ownService(peerSpec{}), x.ownClient(peerSpec{})
	source, name, gate := x.name("src"), x.name("svc"), x.name("gate")
	x.serve(service, serviceSpec{Name: name, Handlers: []handlerSpec{
		{Name: "acked", Source: source, Event: "acked", Gate: gate},
		{Name: "failed", Source: source, Event: "failed", Gate: gate, Fail: 1, Requeue: true}}})
	x.emits(client, source, "acked", 1)
	x.emits(client, source, "failed", 1)
	x.noted(service, name)
	x.noted(service, name)
	lines := service.wire().current()
	service.wire().cut()
	if !service.wire().gone(lines, patience) {
		x.Fatalf("the connections are still there")
	}
	service.release(gate) // both settle on a link that is lost
	x.silent(service, name)
	service.wire().mend()
	again := map[string]bool{}
	for range 2 {
		again[x.noted(service, name).Name] = true
	}
	if len(again) != 2 {
		x.Fatalf("delivered again were %v", again)
	}
	x.answers(x.caller(client, clientSpec{}), name)
}

// replyQueueBehaviours are about the life of reply queues. They run on a vhost
// where these expire early.
func replyQueueBehaviours() []*behaviour {
	return []*behaviour{
		{id: "C21", title: "the reply queue of a stopped client expires", alone: true, run: expires},
		{id: "C22", title: "a reply queue in use outlives its time", alone: true, run: outlives},
		{id: "C23", title: "a client that was idle for longer works", alone: true, run: idle},
		{id: "C24", title: "a reply queue that expired with a call pending: an explicit error", alone: true, run: lostReply,
			lacks: func(p *pairing) string {
				switch {
				case p.clientLanguage != snake:
					return ""
				case p.nameko() == "2.14.1":
					return "Nameko 2 does not notice: its caller waits for ever"
				}
				return "Nameko 3 fails with ReplyQueueExpiredWithPendingReplies, or before with kombu's OperationalError, as it happens"
			}},
	}
}

// onExpiring starts a service on the vhost, and a client's peer.
func (x *trial) onExpiring() (service peer, name string, client peer) {
	x.Helper()
	service, name = x.ownService(peerSpec{vhost: expiring}), x.name("svc")
	x.serve(service, serviceSpec{Name: name})
	return service, name, x.ownClient(peerSpec{vhost: expiring})
}

// replyQueue returns the name of the queue that a client's calls are answered
// in: the only one that its peer has declared.
func (x *trial) replyQueue(p peer) string {
	x.Helper()
	s := p.wire().await(0, "queue.declare", declares("rpc.reply-*"))
	if s == nil {
		x.Fatalf("no reply queue was declared")
	}
	return s.args["queue"].(string)
}

func (x *trial) expiringQueue(name string) *queueState {
	x.Helper()
	var q *queueState
	x.must(json.Unmarshal(x.probe("queue", map[string]any{"name": name, "vhost": expiring}), &q))
	return q
}

func expires(x *trial) {
	_, name, own := x.onExpiring()
	client := x.caller(own, clientSpec{})
	x.answers(client, name)
	queue := x.replyQueue(own)
	if x.expiringQueue(queue) == nil {
		x.Fatalf("there is no queue %s", queue)
	}
	x.must(own.shut(client.name))
	own.end()
	x.expired(queue)
}

// expired ends the trial unless queues expire. To look at a queue gives it new
// time, so this waits for longer than that between two looks.
func (x *trial) expired(queues ...string) {
	x.Helper()
	for _, queue := range queues {
		for deadline := time.Now().Add(patience); ; {
			<-time.After(replyExpiry + replyExpiry/2)
			if x.expiringQueue(queue) == nil {
				break
			}
			if time.Now().After(deadline) {
				x.Fatalf("queue %s has not expired", queue)
			}
		}
	}
}

func outlives(x *trial) {
	service, name, own := x.onExpiring()
	for _, kind := range []string{standalone, inService} {
		gate := x.name("gate")
		client := x.caller(own, clientSpec{Kind: kind})
		done := client.begin(name, "hold", gate)
		n := x.noted(service, name)
		<-time.After(2 * replyExpiry)
		service.release(gate)
		x.returns(x.ended(done), n.Instance)
	}
}

func idle(x *trial) {
	_, name, own := x.onExpiring()
	client := x.caller(own, clientSpec{})
	x.answers(client, name)
	<-time.After(2 * replyExpiry)
	x.answers(client, name)
}

func lostReply(x *trial) {
	service, name, own := x.onExpiring()
	gate := x.name("gate")
	client := x.caller(own, clientSpec{Kind: inService})
	done := client.begin(name, "hold", gate)
	x.noted(service, name)
	var queues []string
	for _, s := range own.wire().since(0, "queue.declare", declares("rpc.reply-*")) {
		queues = append(queues, s.args["queue"].(string))
	}
	own.wire().cut()
	x.expired(queues...)
	service.release(gate)
	own.wire().mend()
	f := x.ended(done).err
	x.failsAs(f, enoki.UnknownOutcome, "")
	if !strings.Contains(f.local, "reply queue expired") {
		x.Fatalf("the error does not say what was lost: %v", f)
	}
}
