package interop_test

import "reflect"

// publisherBehaviours are messages beside RPC and events: from a publisher in
// the client's language to a consumer in the service's.
func publisherBehaviours() []*behaviour {
	return []*behaviour{
		{id: "C64", title: "publisher options on the wire; those of a call go first", run: publishing},
		{id: "N15", title: "consume: a queue with kombu's flags, each message handled once", run: consuming},
		{id: "N16", title: "consume: a failed message is dropped, or comes again if so declared", run: consumingAgain},
	}
}

// publishes has a service publish.
func (x *trial) publishes(service string, payload any, o publishOptions) outcome {
	x.Helper()
	return x.standalone().call(service, "post", payload, o)
}

func publishing(x *trial) {
	exchange, name := x.name("ex"), x.name("svc")
	x.serve(x.client, serviceSpec{Name: name, Publisher: &publisherSpec{Exchange: exchange,
		Options: publishOptions{DeliveryMode: 1, Priority: 3, Headers: map[string]any{"a": "publisher", "b": "publisher"}}}})
	x.flags(x.client.wire().await(0, "exchange.declare", declares(exchange)), map[string]any{"type": "topic", "durable": true, "auto-delete": false})

	mark := x.client.wire().mark()
	x.returns(x.publishes(name, "plain", publishOptions{RoutingKey: "one"}), nil)
	s := x.client.wire().await(mark, "basic.publish", carries("one"))
	x.flags(s, map[string]any{"exchange": exchange, "mandatory": false})
	x.carriesProps(s, map[string]any{"delivery_mode": int64(1), "priority": int64(3), "expiration": nil,
		"content_type": "application/json"}, map[string]any{"a": "publisher", "b": "publisher"})

	x.returns(x.publishes(name, "all", publishOptions{RoutingKey: "two", DeliveryMode: 2, Priority: 5, Expiration: 10,
		Compression: "gzip", Headers: map[string]any{"b": "call"}}), nil)
	s = x.client.wire().await(mark, "basic.publish", carries("two"))
	x.carriesProps(s, map[string]any{"delivery_mode": int64(2), "priority": int64(5), "expiration": "10000"},
		map[string]any{"a": "publisher", "b": "call", "compression": "application/x-gzip"})
	if string(s.body) == `"all"` {
		x.Fatalf("the body is not compressed")
	}

	undeliverable := "UndeliverableMessage"
	if x.clientLanguage == golang {
		undeliverable = "NotDelivered"
	}
	if f := x.fails(x.publishes(name, "nobody", publishOptions{RoutingKey: "unbound", Mandatory: true}), remoteError); f.typ != undeliverable {
		x.Fatalf("a mandatory message that no queue takes: got %v, want %s", f, undeliverable)
	}
	x.returns(x.publishes(name, "again", publishOptions{RoutingKey: "unbound"}), nil)
}

// carriesProps ends the trial unless a message has these properties and
// headers, and the call stack.
func (x *trial) carriesProps(s *said, properties, headers map[string]any) {
	x.Helper()
	for name, want := range properties {
		if s.props[name] != want {
			x.Fatalf("%s is %v, want %v", name, s.props[name], want)
		}
	}
	got, _ := s.props["headers"].(map[string]any)
	for name, want := range headers {
		if !reflect.DeepEqual(got[name], want) {
			x.Fatalf("header %s is %v, want %v", name, got[name], want)
		}
	}
	if stack, _ := got["nameko.call_id_stack"].([]any); len(stack) == 0 {
		x.Fatalf("there is no call stack in %v", got)
	}
}

func consuming(x *trial) {
	exchange, from, name, queue := x.name("ex"), x.name("svc"), x.name("svc"), x.name("queue")
	mark := x.service.wire().mark()
	x.serve(x.service, serviceSpec{Name: name, Consumers: []consumerSpec{{Name: "take", Queue: queue, Exchange: exchange, Key: "new.#"}}})
	x.flags(x.service.wire().await(mark, "queue.declare", declares(queue)), map[string]any{"durable": true, "exclusive": false, "auto-delete": false})
	x.flags(x.service.wire().await(mark, "queue.bind", declares(queue)), map[string]any{"exchange": exchange, "routing-key": "new.#"})
	x.sameQueue(queue, true, false, nil)
	x.serve(x.client, serviceSpec{Name: from, Publisher: &publisherSpec{Exchange: exchange}})
	x.returns(x.publishes(from, map[string]any{"k": 1}, publishOptions{RoutingKey: "new.x"}), nil)
	x.returns(x.publishes(from, "small", publishOptions{RoutingKey: "new.y", Compression: "gzip"}), nil)
	x.returns(x.publishes(from, "else", publishOptions{RoutingKey: "old"}), nil)
	x.wants(x.handled(2, name), name+`.take {"k":1}`, name+`.take "small"`)
	x.until("the queue is empty", func() bool { q := x.queue(queue); return q != nil && q.Messages == 0 })
}

func consumingAgain(x *trial) {
	exchange, from, name, queue := x.name("ex"), x.name("svc"), x.name("svc"), x.name("queue")
	x.serve(x.service, serviceSpec{Name: name, Consumers: []consumerSpec{
		{Name: "dropping", Queue: queue + "-d", Exchange: exchange, Key: "d", Fail: 1},
		{Name: "requeueing", Queue: queue + "-r", Exchange: exchange, Key: "r", Fail: 2, Requeue: true}}})
	x.serve(x.client, serviceSpec{Name: from, Publisher: &publisherSpec{Exchange: exchange}})
	x.returns(x.publishes(from, 1, publishOptions{RoutingKey: "d"}), nil)
	x.returns(x.publishes(from, 2, publishOptions{RoutingKey: "r"}), nil)
	x.wants(x.handled(4, name), name+".dropping 1", name+".requeueing 2", name+".requeueing 2", name+".requeueing 2")
}
