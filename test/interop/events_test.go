package interop_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// eventBehaviours are events from the client's language to handlers in the
// service's.
func eventBehaviours() []*behaviour {
	return []*behaviour{
		{id: "C45", title: "a pool: each service handles an event once, instances in both languages", run: pools},
		{id: "C46", title: "two handlers of one service for one event: both run", run: twoHandlers},
		{id: "C47", title: "a singleton: one handler in the whole cluster", run: singleton},
		{id: "C48", title: "a broadcast: every instance, exclusive queues", run: broadcast},
		{id: "C49", title: "broadcast with the default id and reliable delivery is refused", run: reliableBroadcast,
			lacks: serviceIn(golang, "it can't be written: a broadcast is kept only with an ID of enoki.Broadcast")},
		{id: "C50", title: "a handler that fails gets the event again until it succeeds", run: requeue},
		{id: "C51", title: "an event waits for a handler that is stopped", alone: true, run: reliable},
		{id: "C52", title: "an unreliable handler that is stopped loses events", alone: true, run: unreliable},
		{id: "C53", title: "an event on the wire: exchange, key, bare payload, headers", run: dispatched},
		{id: "C54", title: "events from outside a service; the emitter lives on without an exchange", run: dispatchedOutside},
		{id: "C55", title: "AUTO_DELETE_EVENT_EXCHANGES and DECLARE_EVENT_EXCHANGES", run: exchangeFlags},
		{id: "N04", title: "a handler moves to the other language and back on its queue, nothing lost", alone: true, run: moving},
		{id: "N05", title: "a handler that fails once, without any switch", run: failsOnce,
			better: serviceIn(golang, "Nameko drops the event, Enoki tries it again")},
		{id: "N10", title: "a handler that fails and is declared to drop the event", run: drops},
		{id: "N11", title: "a broadcast with an id is kept while its instance is away", alone: true, run: lastingBroadcast},
	}
}

// emitter starts a service in the client's language that emits events.
func (x *trial) emitter() string {
	x.Helper()
	name := x.name("src")
	x.serve(x.client, serviceSpec{Name: name})
	return name
}

// tell has a service emit an event.
func (x *trial) tell(source, event string, payload any) {
	x.Helper()
	x.returns(x.standalone().call(source, "emit", event, payload), nil)
}

// handled returns which handler of which instance got which payload, of the
// next n notes about services.
func (x *trial) handled(n int, from ...string) []string {
	x.Helper()
	var got []string
	for range n {
		x.until(fmt.Sprintf("%d events are handled, got %q", n, got), func() bool {
			for _, p := range []peer{x.service, x.client} {
				for _, service := range from {
					if seen, ok := p.notes().next(service, 0); ok {
						got = append(got, fmt.Sprintf("%s.%s %s", service, seen.Name, compact(seen.Payload)))
						return true
					}
				}
			}
			return false
		})
	}
	for _, service := range from {
		x.silent(x.service, service)
		x.silent(x.client, service)
	}
	slices.Sort(got)
	return got
}

// compact returns JSON without what differs by encoder.
func compact(text json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return err.Error()
	}
	return b.String()
}

// wants ends the trial unless both lists are the same.
func (x *trial) wants(got []string, want ...string) {
	x.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		x.Fatalf("handled were %q, want %q", got, want)
	}
}

func pools(x *trial) {
	source := x.emitter()
	a, b := x.name("svc"), x.name("svc")
	handlers := []handlerSpec{{Name: "on_told", Source: source, Event: "told"}}
	mark := x.service.wire().mark()
	x.serve(x.service, serviceSpec{Name: a, Handlers: handlers})
	x.serve(x.client, serviceSpec{Name: a, Handlers: handlers})
	x.serve(x.service, serviceSpec{Name: b, Handlers: handlers})
	queue := "evt-" + source + "-told--" + a + ".on_told"
	x.eventQueue(mark, queue, source, "told", false)
	x.sameQueue(queue, true, false, nil)
	if q := x.queue(queue); q == nil || q.Consumers != 2 {
		x.Fatalf("queue %s is %+v, want two consumers", queue, q)
	}
	for i := range 4 {
		x.tell(source, "told", i)
	}
	x.wants(x.handled(8, a, b), a+".on_told 0", a+".on_told 1", a+".on_told 2", a+".on_told 3",
		b+".on_told 0", b+".on_told 1", b+".on_told 2", b+".on_told 3")
}

// eventQueue ends the trial unless the service's peer has declared a queue for
// events as Nameko does.
func (x *trial) eventQueue(mark int, name, source, event string, own bool) *said {
	x.Helper()
	exchange := x.service.wire().await(mark, "exchange.declare", declares(source+".events"))
	queue := x.service.wire().await(mark, "queue.declare", declares(name))
	bound := x.service.wire().await(mark, "queue.bind", declares(name))
	if exchange == nil || queue == nil || bound == nil {
		x.Fatalf("%s: exchange declared: %v, queue declared: %v, queue bound: %v", name, exchange != nil, queue != nil, bound != nil)
	}
	x.flags(exchange, map[string]any{"type": "topic", "durable": true, "auto-delete": false, "internal": false})
	x.flags(queue, map[string]any{"durable": true, "exclusive": own, "auto-delete": own})
	x.flags(bound, map[string]any{"exchange": source + ".events", "routing-key": event})
	if arguments, _ := queue.args["arguments"].(map[string]any); len(arguments) > 0 {
		x.Fatalf("queue %s has arguments: %v", name, arguments)
	}
	return queue
}

func twoHandlers(x *trial) {
	source, name := x.emitter(), x.name("svc")
	x.serve(x.service, serviceSpec{Name: name, Handlers: []handlerSpec{
		{Name: "first", Source: source, Event: "told"}, {Name: "second", Source: source, Event: "told"}}})
	x.tell(source, "told", "x")
	x.wants(x.handled(2, name), name+`.first "x"`, name+`.second "x"`)
	for _, handler := range []string{"first", "second"} {
		x.sameQueue("evt-"+source+"-told--"+name+"."+handler, true, false, nil)
	}
}

func singleton(x *trial) {
	source, a, b := x.emitter(), x.name("svc"), x.name("svc")
	handlers := []handlerSpec{{Name: "on_told", Source: source, Event: "told", Mode: "singleton"}}
	mark := x.service.wire().mark()
	x.serve(x.service, serviceSpec{Name: a, Handlers: handlers})
	x.serve(x.client, serviceSpec{Name: a, Handlers: handlers})
	x.serve(x.service, serviceSpec{Name: b, Handlers: handlers})
	queue := "evt-" + source + "-told"
	x.eventQueue(mark, queue, source, "told", false)
	x.sameQueue(queue, true, false, nil)
	if q := x.queue(queue); q == nil || q.Consumers != 3 {
		x.Fatalf("queue %s is %+v, want three consumers", queue, q)
	}
	for i := range 3 {
		x.tell(source, "told", i)
	}
	var payloads []string
	for _, what := range x.handled(3, a, b) {
		payloads = append(payloads, what[len(what)-1:])
	}
	slices.Sort(payloads)
	x.wants(payloads, "0", "1", "2")
}

func broadcast(x *trial) {
	source, name := x.emitter(), x.name("svc")
	handlers := []handlerSpec{{Name: "on_told", Source: source, Event: "told", Mode: "broadcast"}}
	mark := x.service.wire().mark()
	x.serve(x.service, serviceSpec{Name: name, Handlers: handlers})
	x.serve(x.service, serviceSpec{Name: name, Handlers: handlers})
	x.serve(x.client, serviceSpec{Name: name, Handlers: handlers})
	prefix := "evt-" + source + "-told--" + name + ".on_told-"
	x.eventQueue(mark, prefix+"*", source, "told", true)
	queues := map[string]bool{}
	for _, s := range x.service.wire().since(mark, "queue.declare", declares(prefix+"*")) {
		queues[fmt.Sprint(s.args["queue"])] = true
	}
	if len(queues) != 2 {
		x.Fatalf("two instances have the queues %v", queues)
	}
	x.tell(source, "told", 1)
	x.wants(x.handled(3, name), name+".on_told 1", name+".on_told 1", name+".on_told 1")
}

func reliableBroadcast(x *trial) {
	yes := true
	_, err := x.service.serve(serviceSpec{Name: x.name("svc"), Handlers: []handlerSpec{
		{Name: "on_told", Source: x.name("src"), Event: "told", Mode: "broadcast", Reliable: &yes}}})
	if err == nil || !strings.Contains(err.Error(), "EventHandlerConfigurationError") {
		x.Fatalf("got %v, want a configuration error", err)
	}
}

func requeue(x *trial) {
	source, name := x.emitter(), x.name("svc")
	x.serve(x.service, serviceSpec{Name: name, Handlers: []handlerSpec{
		{Name: "on_told", Source: source, Event: "told", Fail: 2, Requeue: true}}})
	x.tell(source, "told", "x")
	x.wants(x.handled(3, name), name+`.on_told "x"`, name+`.on_told "x"`, name+`.on_told "x"`)
}

func failsOnce(x *trial) {
	source, name := x.emitter(), x.name("svc")
	x.serve(x.service, serviceSpec{Name: name, Handlers: []handlerSpec{
		{Name: "on_told", Source: source, Event: "told", Fail: 1}}})
	x.tell(source, "told", "x")
	if x.serviceLanguage == golang {
		x.wants(x.handled(2, name), name+`.on_told "x"`, name+`.on_told "x"`)
		return
	}
	x.wants(x.handled(1, name), name+`.on_told "x"`)
}

func drops(x *trial) {
	source, name := x.emitter(), x.name("svc")
	x.serve(x.service, serviceSpec{Name: name, Handlers: []handlerSpec{
		{Name: "on_told", Source: source, Event: "told", Fail: 1, Drop: true}}})
	x.tell(source, "told", "dropped")
	x.tell(source, "told", "x")
	x.wants(x.handled(2, name), name+`.on_told "dropped"`, name+`.on_told "x"`)
}

func lastingBroadcast(x *trial) {
	service, client := x.ownService(peerSpec{}), x.ownClient(peerSpec{})
	source, yes := x.name("src"), true
	spec := serviceSpec{Name: x.name("svc"), Handlers: []handlerSpec{
		{Name: "on_told", Source: source, Event: "told", Mode: "broadcast", BroadcastID: "host-1", Reliable: &yes}}}
	instance := x.serve(service, spec)
	queue := "evt-" + source + "-told--" + spec.Name + ".on_told-host-1"
	x.flags(service.wire().await(0, "queue.declare", declares(queue)), map[string]any{"durable": true, "exclusive": false, "auto-delete": false})
	x.sameQueue(queue, true, false, nil)
	x.must(service.stop(instance))
	x.emits(client, source, "told", "kept")
	x.serve(service, spec)
	if n := x.noted(service, spec.Name); string(n.Payload) != `"kept"` {
		x.Fatalf("handled was %s", n.Payload)
	}
}

func reliable(x *trial) {
	service, client := x.ownService(peerSpec{}), x.ownClient(peerSpec{})
	source := x.name("src")
	spec := serviceSpec{Name: x.name("svc"), Handlers: []handlerSpec{{Name: "on_told", Source: source, Event: "told"}}}
	x.must(service.stop(x.serve(service, spec)))
	x.emits(client, source, "told", "kept")
	x.silent(service, spec.Name)
	x.serve(service, spec)
	if n := x.noted(service, spec.Name); string(n.Payload) != `"kept"` {
		x.Fatalf("handled was %s", n.Payload)
	}
}

// emits emits an event from outside a service.
func (x *trial) emits(p peer, source, event string, payload any) {
	x.Helper()
	if f := p.emit(emitSpec{Source: source, Event: event, Payload: payload}); f != nil {
		x.Fatalf("emit %s.%s: %v", source, event, f)
	}
}

func unreliable(x *trial) {
	service, client := x.ownService(peerSpec{}), x.ownClient(peerSpec{})
	source, no := x.name("src"), false
	spec := serviceSpec{Name: x.name("svc"), Handlers: []handlerSpec{{Name: "on_told", Source: source, Event: "told", Reliable: &no}}}
	x.must(service.stop(x.serve(service, spec)))
	x.until("the queue is deleted", func() bool { return x.queue("evt-"+source+"-told--"+spec.Name+".on_told") == nil })
	x.emits(client, source, "told", "lost")
	x.serve(service, spec)
	x.emits(client, source, "told", "got")
	if n := x.noted(service, spec.Name); string(n.Payload) != `"got"` {
		x.Fatalf("handled was %s", n.Payload)
	}
}

func dispatched(x *trial) {
	source, name := x.emitter(), x.name("svc")
	x.serve(x.service, serviceSpec{Name: name, Handlers: []handlerSpec{{Name: "on_told", Source: source, Event: "told"}}})
	mark := x.client.wire().mark()
	x.tell(source, "told", map[string]any{"a": []any{1, nil}})
	s := x.client.wire().await(mark, "basic.publish", carries("told"))
	if s == nil {
		x.Fatalf("no event was published")
	}
	// Enoki's events are mandatory, Nameko's are not: receivers see no difference.
	x.flags(s, map[string]any{"exchange": source + ".events", "mandatory": x.clientLanguage == golang})
	x.returns(outcome{result: s.body}, map[string]any{"a": []any{1, nil}})
	for property, want := range map[string]any{"content_type": "application/json", "content_encoding": "utf-8",
		"delivery_mode": int64(2), "correlation_id": nil, "reply_to": nil, "expiration": nil} {
		if s.props[property] != want {
			x.Fatalf("%s is %v, want %v", property, s.props[property], want)
		}
	}
	stack, _ := s.props["headers"].(map[string]any)["nameko.call_id_stack"].([]any)
	if len(stack) != 2 || !strings.HasPrefix(stack[1].(string), source+".emit.") {
		x.Fatalf("headers are %v", s.props["headers"])
	}
	x.wants(x.handled(1, name), name+`.on_told {"a":[1,null]}`)
}

func dispatchedOutside(x *trial) {
	source, name := x.name("src"), x.name("svc")
	x.serve(x.service, serviceSpec{Name: name, Handlers: []handlerSpec{{Name: "on_told", Source: source, Event: "told"}}})
	x.emits(x.client, source, "told", 1)
	x.wants(x.handled(1, name), name+".on_told 1")
	x.emits(x.client, source, "nobody_listens", 1)
	// In a process of its own: a Nameko that meets a missing exchange never
	// publishes again.
	lone := x.own(x.clientLanguage, peerSpec{})
	f := lone.emit(emitSpec{Source: x.name("src"), Event: "told", Payload: 1})
	if x.clientLanguage == golang {
		if f != nil {
			x.Fatalf("Enoki declares the exchange, and yet: %v", f)
		}
		x.emits(lone, source, "told", 2)
		x.wants(x.handled(1, name), name+".on_told 2")
		return
	}
	x.failsAs(f, "", "amqp.exceptions.NotFound")
}

func exchangeFlags(x *trial) {
	source := x.name("src")
	spec := serviceSpec{Name: x.name("svc"), Handlers: []handlerSpec{{Name: "on_told", Source: source, Event: "told"}}}
	deleting := x.own(x.serviceLanguage, peerSpec{autoDelete: true})
	x.serve(deleting, spec)
	declared := deleting.wire().await(0, "exchange.declare", declares(source+".events"))
	x.flags(declared, map[string]any{"auto-delete": true})
	silent := x.own(x.serviceLanguage, peerSpec{undeclared: true})
	x.serve(silent, spec)
	if n := len(silent.wire().since(0, "exchange.declare", declares(source+".events"))); n != 0 {
		x.Fatalf("the exchange was declared %d times", n)
	}
}

func moving(x *trial) {
	here, there := x.ownService(peerSpec{}), x.ownOther()
	client := x.ownClient(peerSpec{})
	source := x.name("src")
	spec := serviceSpec{Name: x.name("svc"), Handlers: []handlerSpec{
		{Name: "pooled", Source: source, Event: "pooled"}, {Name: "single", Source: source, Event: "single", Mode: "singleton"}}}
	for i, p := range []peer{here, there, here} {
		if i > 0 { // meanwhile nobody is there
			x.emits(client, source, "pooled", i)
			x.emits(client, source, "single", i)
		}
		instance := x.serve(p, spec)
		x.emits(client, source, "pooled", i+10)
		x.emits(client, source, "single", i+10)
		want := []string{fmt.Sprint("pooled ", i+10), fmt.Sprint("single ", i+10)}
		if i > 0 {
			want = append(want, fmt.Sprint("pooled ", i), fmt.Sprint("single ", i))
		}
		var got []string
		for range want {
			n := x.noted(p, spec.Name)
			got = append(got, fmt.Sprintf("%s %s", n.Name, n.Payload))
		}
		slices.Sort(got)
		x.wants(got, want...)
		x.must(p.stop(instance))
	}
}

// ownOther is a peer of the language that is not the service's, or of another
// process where there is only one.
func (x *trial) ownOther() peer {
	x.Helper()
	other := golang
	if x.serviceLanguage == golang && x.python != nil {
		other = snake
	}
	return x.own(other, peerSpec{})
}
