package interop_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/enoki-go/enoki"
)

// callBehaviours are calls, their arguments and results, and their clients.
func callBehaviours() []*behaviour {
	return []*behaviour{
		{id: "C01", title: "the queue of a service: name, flags, binding, one consumer", run: serviceQueue},
		{id: "C02", title: "two instances share the queue and the calls", run: sharedQueue},
		{id: "C03", title: "arguments by position and by name arrive as given", run: arguments},
		{id: "N17", title: "any number of arguments, by position and by name", run: anyNumber},
		{id: "C04", title: "any JSON value comes back equal", run: values},
		{id: "C06", title: "an asynchronous call: one request, its result as often as wanted", run: asynchronous},
		{id: "C13", title: "a service without a queue is unknown at once", run: unknown},
		{id: "C25", title: "a reply that nobody waits for is ignored", run: strayReply},
		{id: "C26", title: "clients side by side each get their own replies", run: manyClients},
		{id: "C27", title: "a call ends at its timeout, later ones work", alone: true, run: timeout},
		{id: "C28", title: "a method faster than the timeout answers", run: noTimeout},
		{id: "C29", title: "a stopped client refuses calls", run: stoppedClient},
		{id: "C30", title: "a client stopped and started again works", run: restartedClient},
		{id: "C31", title: "a service name that is no identifier", run: oddName},
		{id: "C32", title: "a client interrupted while it waits works on", run: interruptedClient},
	}
}

func serviceQueue(x *trial) {
	service := x.own(x.serviceLanguage, peerSpec{})
	name := x.name("svc")
	x.serve(service, serviceSpec{Name: name})
	tap := service.wire()
	exchange := tap.await(0, "exchange.declare", declares("nameko-rpc"))
	queue := tap.await(0, "queue.declare", declares("rpc-"+name))
	bound := tap.await(0, "queue.bind", declares("rpc-"+name))
	if exchange == nil || queue == nil || bound == nil {
		x.Fatalf("exchange declared: %v, queue declared: %v, queue bound: %v", exchange != nil, queue != nil, bound != nil)
	}
	x.flags(exchange, map[string]any{"type": "topic", "durable": true, "auto-delete": false, "internal": false})
	x.flags(queue, map[string]any{"durable": true, "exclusive": false, "auto-delete": false})
	x.flags(bound, map[string]any{"exchange": "nameko-rpc", "routing-key": name + ".*"})
	if arguments, _ := queue.args["arguments"].(map[string]any); len(arguments) > 0 {
		x.Fatalf("queue has arguments: %v", arguments)
	}
	x.sameQueue("rpc-"+name, true, false, nil)
	if q := x.queue("rpc-" + name); q == nil || q.Consumers != 1 {
		x.Fatalf("queue is %+v, want one consumer", q)
	}
	x.returns(x.standalone().call(name, "nothing"), nil)
}

// flags ends the trial when arguments of a method differ from those wanted.
func (x *trial) flags(s *said, want map[string]any) {
	x.Helper()
	for name, value := range want {
		if s.args[name] != value {
			x.Fatalf("%s %v: %s is %v, want %v", s.method, s.args, name, s.args[name], value)
		}
	}
}

func sharedQueue(x *trial) {
	name := x.name("svc")
	instances := map[string]int{}
	for range 2 {
		instances[x.serve(x.service, serviceSpec{Name: name})] = 0
	}
	x.until("the queue has two consumers", func() bool {
		q := x.queue("rpc-" + name)
		return q != nil && q.Consumers == 2
	})
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

func arguments(x *trial) {
	for _, c := range []struct {
		args   []any
		kwargs map[string]any
		want   map[string]any
	}{
		{args: []any{1, 2}, want: map[string]any{"a": 1, "b": 2, "c": nil}},
		{args: []any{1, 2, 3}, want: map[string]any{"a": 1, "b": 2, "c": 3}},
		{args: []any{"x"}, kwargs: map[string]any{"b": []any{1}, "c": true}, want: map[string]any{"a": "x", "b": []any{1}, "c": true}},
		{kwargs: map[string]any{"c": nil, "b": map[string]any{}, "a": 1.5}, want: map[string]any{"a": 1.5, "b": map[string]any{}, "c": nil}},
	} {
		for _, client := range x.clients() {
			x.returns(client.do(callSpec{Service: x.echo, Method: "spread", Args: c.args, Kwargs: c.kwargs}), c.want)
		}
	}
	x.returns(x.standalone().call(x.echo, "nothing"), nil)
	x.returns(x.standalone().call(x.echo, "several"), []any{"one", 2})
}

// anyNumber is Python's *args and **kwargs.
func anyNumber(x *trial) {
	for _, c := range []struct {
		args   []any
		kwargs map[string]any
		want   map[string]any
	}{
		{args: []any{1}, want: map[string]any{"a": 1, "rest": []any{}, "flag": false, "more": map[string]any{}}},
		{args: []any{1, "b", []any{2}}, kwargs: map[string]any{"flag": true, "x": nil, "rest": 3},
			want: map[string]any{"a": 1, "rest": []any{"b", []any{2}}, "flag": true, "more": map[string]any{"x": nil, "rest": 3}}},
	} {
		for _, client := range x.clients() {
			x.returns(client.do(callSpec{Service: x.echo, Method: "gather", Args: c.args, Kwargs: c.kwargs}), c.want)
		}
	}
}

func values(x *trial) {
	for _, v := range []any{
		nil, true, false, 0, -1, 1.5, json.RawMessage("9007199254740993"), json.RawMessage("123456789012345678901234567890"),
		json.RawMessage("-1.0"), "", "ünï ☃ 🚀 \x00 \"\\", []any{}, map[string]any{},
		[]any{1, "two", nil, []any{map[string]any{"deep": []any{true}}}}, map[string]any{"": 0, "a b": nil, "é": "è"},
		strings.Repeat("long ", 60000),
	} {
		x.returns(x.standalone().call(x.echo, "echo", v), v)
	}
}

func asynchronous(x *trial) {
	for _, client := range x.clients() {
		mark := x.client.wire().mark()
		x.returns(client.do(callSpec{Service: x.echo, Method: "echo", Args: []any{"later"}, Again: true}), "later")
		if n := len(x.client.wire().since(mark, "basic.publish", carries(x.echo+".echo"))); n != 1 {
			x.Fatalf("%d requests were sent for one call", n)
		}
	}
}

func unknown(x *trial) {
	for _, client := range x.clients() {
		name := x.name("nobody")
		x.fails(client.call(name, "echo", 1), unknownService)
		x.returns(client.call(x.echo, "echo", 1), 1)
	}
}

func strayReply(x *trial) {
	for _, client := range x.clients() {
		mark := x.client.wire().mark()
		x.returns(client.call(x.echo, "echo", 1), 1)
		request := x.client.wire().await(mark, "basic.publish", carries(x.echo+".echo"))
		x.probe("publish", map[string]any{"exchange": "nameko-rpc", "key": request.props["reply_to"],
			"body": `{"result": "stray", "error": null}`, "properties": map[string]any{
				"content_type": "application/json", "content_encoding": "utf-8", "correlation_id": "nobody-asked"}})
		x.returns(client.call(x.echo, "echo", 2), 2)
	}
}

func manyClients(x *trial) {
	const clients, calls = 4, 5
	var all sync.WaitGroup
	wrong := make(chan string, clients*calls)
	for c := range clients {
		client := x.caller(x.client, clientSpec{})
		all.Go(func() {
			for i := range calls {
				want := fmt.Sprintf("%d.%d", c, i)
				if out := client.call(x.echo, "echo", want); string(out.result) != `"`+want+`"` {
					wrong <- fmt.Sprintf("client %d got %v, want %s", c, out, want)
				}
			}
		})
	}
	all.Wait()
	select {
	case difference := <-wrong:
		x.Fatalf("%s", difference)
	default:
	}
}

// hasty is a timeout that a call is to reach, in seconds.
const hasty = 3

// worksAgain ends the trial unless a hasty client's next call is answered. On a
// busy machine that may take longer than its timeout: then it calls again.
func (x *trial) worksAgain(hasty *caller, service string) {
	x.Helper()
	var out outcome
	x.until("a call after one that timed out is answered", func() bool {
		out = hasty.call(service, "echo", 1)
		return out.err == nil || out.err.kind != timedOut
	})
	x.returns(out, 1)
}

func timeout(x *trial) {
	gate := x.name("gate")
	name := x.name("svc")
	x.serve(x.service, serviceSpec{Name: name})
	client := x.caller(x.ownClient(peerSpec{}), clientSpec{Timeout: hasty})
	x.fails(client.call(name, "hold", gate), timedOut)
	x.worksAgain(client, name)
	x.service.release(gate)
	x.worksAgain(client, name)
}

func noTimeout(x *trial) {
	client := x.caller(x.client, clientSpec{Timeout: patience.Seconds()})
	x.returns(client.call(x.echo, "echo", 1), 1)
}

func stoppedClient(x *trial) {
	client := x.caller(x.client, clientSpec{})
	x.returns(client.call(x.echo, "echo", 1), 1)
	x.must(x.client.shut(client.name))
	x.failsAs(client.call(x.echo, "echo", 1).err, enoki.Unavailable, "builtins.RuntimeError")
}

func restartedClient(x *trial) {
	client := x.caller(x.client, clientSpec{})
	for i := range 3 {
		x.returns(client.call(x.echo, "echo", i), i)
		x.must(x.client.shut(client.name))
		x.must(x.client.reopen(client.name))
	}
	x.returns(client.call(x.echo, "echo", "again"), "again")
}

func oddName(x *trial) {
	name := x.name("odd-name-")
	x.serve(x.service, serviceSpec{Name: name})
	x.returns(x.standalone().call(name, "echo", 1), 1)
}

func interruptedClient(x *trial) {
	gate := x.name("gate")
	name := x.name("svc")
	x.serve(x.service, serviceSpec{Name: name})
	client := x.caller(x.client, clientSpec{})
	waiting := client.begin(name, "hold", gate)
	x.noted(x.service, name)
	x.waits(waiting)
	x.client.interrupt(client.name)
	x.fails(x.ended(waiting), interrupted)
	x.service.release(gate)
	x.returns(client.call(name, "echo", 1), 1)
}
