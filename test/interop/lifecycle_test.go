package interop_test

import (
	"encoding/json"
	"strings"
	"time"
)

// lifecycleBehaviours are starts and stops, what a service takes and settles,
// messages that it can't take, and timers.
func lifecycleBehaviours() []*behaviour {
	return []*behaviour{
		{id: "C20", title: "a service killed with calls in hand: the next instance serves them", alone: true, run: killed},
		{id: "C60", title: "prefetch: no more unsettled messages than workers", alone: true, run: prefetch},
		{id: "C61", title: "more calls than workers that call out: no deadlock, the link lives", alone: true, run: crowded},
		{id: "C62", title: "stop: what runs is finished and answered, what waits is another's", alone: true, run: stopping},
		{id: "C63", title: "heartbeats of 60 s, and as configured", alone: true, run: heartbeats},
		{id: "C69", title: "timers: interval, eager, slow, failing, stopped while waiting", alone: true, run: timers},
		{id: "C72", title: "while a service stops, what runs in it can call and emit", alone: true, run: workingWhileStopping},
		{id: "C75", title: "requests without reply_to or content type, with a foreign one, broken bodies", alone: true, run: hostile,
			better: serviceIn(golang, "Nameko dies of the first two and drops the others without a reply; Enoki lives and refuses what it can't read"),
			lacks:  serviceIn(snake, "its container dies and each next one too (section 5 of the facts)")},
		{id: "C76", title: "a call to a stopped service waits, is served later or times out", alone: true, run: stoppedService},
		{id: "N06", title: "a reply is acked after it is confirmed, the request after the reply", run: ackOrder},
		{id: "N07", title: "instances in both languages share a service's calls", run: mixedInstances},
		{id: "N08", title: "a request on the wire: mandatory, persistent, and what it carries", run: requestOnWire},
	}
}

// ask posts calls of hold and returns the inbox of their replies.
func (x *trial) ask(service string, n int, gate string) string {
	x.Helper()
	key := x.name("key")
	inbox := x.inbox("nameko-rpc", key)
	for range n {
		x.post(request{service: service, method: "hold", body: `{"args": ["` + gate + `"], "kwargs": {}}`}, key)
	}
	return inbox
}

func killed(x *trial) {
	first, second := x.ownService(peerSpec{workers: 1}), x.ownService(peerSpec{})
	name, gate := x.name("svc"), x.name("gate")
	instance := x.serve(first, serviceSpec{Name: name})
	inbox := x.ask(name, 3, gate)
	x.noted(first, name)
	second.release(gate)
	first.abandon(instance)
	x.serve(second, serviceSpec{Name: name})
	for range 3 {
		x.noted(second, name)
		if got, m := x.reply(inbox); got.Error != nil {
			x.Fatalf("answered with %s", m.Body)
		}
	}
}

func prefetch(x *trial) {
	service := x.ownService(peerSpec{workers: 3})
	name, gate := x.name("svc"), x.name("gate")
	x.serve(service, serviceSpec{Name: name})
	qos := service.wire().await(0, "basic.qos", func(s *said) bool { return s.args["prefetch-count"] == int64(3) })
	if qos == nil || qos.args["global"] != false {
		x.Fatalf("no basic.qos of 3 for each consumer, got %v", qos)
	}
	inbox := x.ask(name, 5, gate)
	for range 3 {
		x.noted(service, name)
	}
	x.silent(service, name)
	if q := x.queue("rpc-" + name); q == nil || q.Messages != 2 {
		x.Fatalf("the queue is %+v, want 2 messages that wait", q)
	}
	service.release(gate)
	for range 5 {
		x.reply(inbox)
	}
}

func crowded(x *trial) {
	service := x.ownService(peerSpec{workers: 2, heartbeat: 6 * time.Second})
	other := x.ownClient(peerSpec{})
	name, gate, called := x.name("svc"), x.name("gate"), x.name("svc")
	x.serve(service, serviceSpec{Name: name})
	x.serve(other, serviceSpec{Name: called})
	key := x.name("key")
	inbox := x.inbox("nameko-rpc", key)
	const calls = 8
	for range calls {
		x.post(request{service: name, method: "relay", body: `{"args": ["` + called + `", "hold", ["` + gate + `"]], "kwargs": {}}`}, key)
	}
	x.noted(other, called)
	if service.wire().gone(service.wire().consuming(), 15*time.Second) { // longer than a peer without heartbeats would live
		x.Fatalf("the link was lost while all workers were busy")
	}
	other.release(gate)
	for range calls {
		if got, m := x.reply(inbox); got.Error != nil {
			x.Fatalf("answered with %s", m.Body)
		}
	}
}

func stopping(x *trial) {
	first, second := x.ownService(peerSpec{workers: 1}), x.ownService(peerSpec{})
	name, gate := x.name("svc"), x.name("gate")
	instance := x.serve(first, serviceSpec{Name: name})
	inbox := x.ask(name, 2, gate)
	x.noted(first, name)
	stopped := make(chan error, 1)
	go func() { stopped <- first.stop(instance) }()
	x.until("the stopping service takes no more", func() bool {
		q := x.queue("rpc-" + name)
		return q != nil && q.Consumers == 0
	})
	second.release(gate)
	x.serve(second, serviceSpec{Name: name})
	x.noted(second, name) // the one that waited
	x.reply(inbox)
	select {
	case err := <-stopped:
		x.Fatalf("it stopped (%v) although a call was running", err)
	case <-time.After(quiet):
	}
	first.release(gate)
	got, _ := x.reply(inbox)
	if x.serviceLanguage == snake && x.nameko() == "3.0.0rc11" && got.Result != instance {
		// Nameko 3 closes the link before the running call is acked, so that
		// the other instance runs it too. The caller takes the first answer.
		got, _ = x.reply(inbox)
	}
	if got.Result != instance {
		x.Fatalf("the running call was answered by %v, want the stopping instance", got.Result)
	}
	x.must(<-stopped)
}

func heartbeats(x *trial) {
	for _, c := range []struct{ configured, want time.Duration }{{0, time.Minute}, {7 * time.Second, 7 * time.Second}} {
		service := x.ownService(peerSpec{heartbeat: c.configured})
		x.serve(service, serviceSpec{Name: x.name("svc")})
		consumer := service.wire().await(0, "basic.consume", nil)
		tuned := service.wire().await(0, "connection.tune-ok", func(s *said) bool { return s.conn == consumer.conn })
		if tuned.args["heartbeat"] != int64(c.want.Seconds()) {
			x.Fatalf("configured %v, tuned to %v", c.configured, tuned.args["heartbeat"])
		}
	}
}

func timers(x *trial) {
	service := x.ownService(peerSpec{})
	name, slow := x.name("svc"), x.name("gate")
	begun := time.Now()
	x.serve(service, serviceSpec{Name: name, Timers: []timerSpec{{Name: "late", Interval: 0.5, Fail: true}}})
	for range 3 { // an error stops nothing
		x.noted(service, name)
	}
	if passed := time.Since(begun); passed < 1400*time.Millisecond {
		x.Fatalf("three ticks of 0.5 s came within %v", passed)
	}

	eager := x.name("svc")
	instance := x.serve(service, serviceSpec{Name: eager, Timers: []timerSpec{{Name: "eager", Interval: 60, Eager: true}}})
	x.noted(service, eager)
	begun = time.Now()
	x.must(service.stop(instance))
	if passed := time.Since(begun); passed > patience {
		x.Fatalf("it took %v to stop while the timer slept", passed)
	}

	busy := x.name("svc")
	const interval, missed = 1.5, 4 // seconds, and ticks: many, so that a busy machine is told from what waits for each
	x.serve(service, serviceSpec{Name: busy, Timers: []timerSpec{{Name: "slow", Interval: interval, Eager: true, Gate: slow}}})
	x.noted(service, busy)
	begun = time.Now()
	x.silent(service, busy) // two ticks never overlap
	<-time.After(seconds(interval*missed) - time.Since(begun))
	begun = time.Now()
	service.release(slow)
	for range missed { // those that were missed follow at once
		x.noted(service, busy)
	}
	if passed := time.Since(begun); passed > seconds(interval*(missed-1)) {
		x.Fatalf("%d missed ticks were made up for in %v", missed, passed)
	}
}

func workingWhileStopping(x *trial) {
	service, other := x.ownService(peerSpec{}), x.ownClient(peerSpec{})
	name, called, gate := x.name("svc"), x.name("svc"), x.name("gate")
	x.serve(other, serviceSpec{Name: called, Handlers: []handlerSpec{{Name: "on_late", Source: name, Event: "late"}}})
	instance := x.serve(service, serviceSpec{Name: name})
	client := x.caller(other, clientSpec{})
	done := client.begin(name, "late", gate, called)
	x.noted(service, name)
	stopped := make(chan error, 1)
	go func() { stopped <- service.stop(instance) }()
	x.until("the stopping service takes no more", func() bool {
		q := x.queue("rpc-" + name)
		return q != nil && q.Consumers == 0
	})
	service.release(gate)
	x.returns(x.ended(done), "late")
	x.noted(other, called)
	x.must(<-stopped)
}

func hostile(x *trial) {
	service := x.ownService(peerSpec{})
	client := x.caller(x.ownClient(peerSpec{}), clientSpec{})
	name, gate := x.name("svc"), x.name("gate")
	x.serve(service, serviceSpec{Name: name})
	service.release(gate)

	hold := `{"args": ["` + gate + `"], "kwargs": {}}`
	x.post(request{service: name, method: "hold", body: hold, properties: map[string]any{"reply_to": nil}}, "")
	x.noted(service, name)
	x.post(request{service: name, method: "hold", body: hold}, x.name("nowhere"))
	x.noted(service, name)
	x.returns(client.call(name, "echo", 1), 1)

	for _, c := range []struct {
		body       string
		properties map[string]any
		refused    bool
	}{
		{`{"args": [1], "kwargs": {}}`, map[string]any{"content_type": nil}, false},
		{`{"args": [1], "kwargs": {}}`, map[string]any{"content_encoding": nil}, false},
		{`{"args": [1], "kwargs": {}}`, map[string]any{"content_encoding": "us-ascii"}, false},
		{`{"args": [1], "kwargs": {}}`, map[string]any{"content_type": "application/json; charset=utf-8"}, false},
		{`{"args": [1], "kwargs": {}}`, map[string]any{"correlation_id": nil}, false},
		{`{"args": [1], "kwargs": {}}`, map[string]any{"content_type": "application/x-python-serialize"}, true},
		{`{"args": [1], "kwargs": {}}`, map[string]any{"content_type": "text/plain"}, true},
		{`{"args": [1], "kwa`, nil, true},
		{``, nil, true},
		{"\xff\xfe", nil, true},
	} {
		key := x.name("key")
		inbox := x.inbox("nameko-rpc", key)
		x.post(request{service: name, method: "echo", body: c.body, properties: c.properties}, key)
		got, m := x.reply(inbox)
		if c.refused != (got.Error != nil) || c.refused && got.Error.Type != malformedRequest || !c.refused && got.Result != 1.0 {
			x.Fatalf("%q with %v was answered with %s", c.body, c.properties, m.Body)
		}
		if _, given := c.properties["correlation_id"]; given && m.Properties["correlation_id"] != nil {
			x.Fatalf("a request without correlation id was answered with one: %v", m.Properties)
		}
		x.returns(client.call(name, "echo", 1), 1)
	}
	if q := x.queue("rpc-" + name); q == nil || q.Messages != 0 || q.Consumers != 1 {
		x.Fatalf("the queue is %+v afterwards", q)
	}
}

func stoppedService(x *trial) {
	service := x.ownService(peerSpec{})
	patient := x.caller(x.ownClient(peerSpec{}), clientSpec{})
	hasty := x.caller(x.ownClient(peerSpec{}), clientSpec{Timeout: hasty})
	name := x.name("svc")
	x.must(service.stop(x.serve(service, serviceSpec{Name: name})))
	done := patient.begin(name, "echo", "waited")
	x.fails(hasty.call(name, "echo", "too late"), timedOut)
	x.waits(done)
	x.serve(service, serviceSpec{Name: name})
	x.returns(x.ended(done), "waited")
	x.worksAgain(hasty, name)
}

func ackOrder(x *trial) {
	mark := x.service.wire().mark()
	x.returns(x.standalone().call(x.echo, "echo", 1), 1)
	tap := x.service.wire()
	request := tap.await(mark, "basic.deliver", carries(x.echo+".echo"))
	acked := tap.await(mark, "basic.ack", acks(request))
	if acked == nil {
		x.Fatalf("the request was never acked")
	}
	_, reply := x.replyHeard(x.service, mark)
	confirmed := tap.await(mark, "basic.ack", tap.confirms(reply))
	if !tap.inOrder(mark, request, reply, confirmed, acked) {
		x.Fatalf("not in the order request, reply, its confirm, ack of the request")
	}
	if reply.args["exchange"] != "nameko-rpc" || reply.args["mandatory"] != false || reply.props["delivery_mode"] != int64(2) ||
		reply.props["content_type"] != "application/json" || reply.props["content_encoding"] != "utf-8" ||
		reply.props["reply_to"] != nil || reply.args["routing-key"] != request.props["reply_to"] ||
		reply.props["correlation_id"] != request.props["correlation_id"] {
		x.Fatalf("the reply is %v %v", reply.args, reply.props)
	}
	if headers, _ := reply.props["headers"].(map[string]any); len(headers) > 0 {
		x.Fatalf("the reply carries headers: %v", headers)
	}
}

func mixedInstances(x *trial) {
	name := x.name("svc")
	instances := map[string]int{x.serve(x.service, serviceSpec{Name: name}): 0, x.serve(x.client, serviceSpec{Name: name}): 0}
	for range 10 {
		var who string
		out := x.standalone().call(name, "whoami")
		x.must(json.Unmarshal(out.result, &who))
		instances[who]++
	}
	for instance, calls := range instances {
		if calls == 0 || len(instances) != 2 {
			x.Fatalf("instance %s got %d of 10 calls, all: %v", instance, calls, instances)
		}
	}
}

func requestOnWire(x *trial) {
	for _, client := range x.clients() {
		mark := x.client.wire().mark()
		x.returns(client.call(x.echo, "echo", 1), 1)
		s := x.client.wire().await(mark, "basic.publish", carries(x.echo+".echo"))
		x.flags(s, map[string]any{"exchange": "nameko-rpc", "mandatory": true, "immediate": false})
		for property, want := range map[string]any{"content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": int64(2)} {
			if s.props[property] != want {
				x.Fatalf("%s is %v, want %v", property, s.props[property], want)
			}
		}
		replyTo, _ := s.props["reply_to"].(string)
		queue := x.client.wire().await(0, "queue.bind", carries(replyTo))
		if queue == nil || !strings.HasPrefix(queue.args["queue"].(string), "rpc.reply-") || !strings.HasSuffix(queue.args["queue"].(string), "-"+replyTo) {
			x.Fatalf("the reply queue for %s is %v", replyTo, queue)
		}
		x.flags(queue, map[string]any{"exchange": "nameko-rpc"})
		x.sameQueue(queue.args["queue"].(string), true, false, map[string]any{"x-expires": 300000})
		if id, _ := s.props["correlation_id"].(string); !callID.MatchString("a.b." + id) {
			x.Fatalf("correlation id %q is no uuid4", id)
		}
	}
}
