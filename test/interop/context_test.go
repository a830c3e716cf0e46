package interop_test

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// contextBehaviours are the data and the call stack that go along with calls
// and events.
func contextBehaviours() []*behaviour {
	return []*behaviour{
		{id: "C05", title: "context data arrive, as headers with Nameko's prefix and their types", run: contextData},
		{id: "C56", title: "the call stack grows with each hop and is trimmed", alone: true, run: callStack},
		{id: "C57", title: "a context value of None is left out", run: noneInContext},
		{id: "N01", title: "headers of others are context data and go on with the prefix", run: foreignHeaders},
		{id: "N02", title: "W3C trace headers go through as nameko.traceparent", run: traceHeaders},
		{id: "N03", title: "a call stack sent as one text is understood", run: textStack,
			lacks: serviceIn(snake, "Nameko spreads it into single characters")},
		{id: "N30", title: "a deadline behind another service is what is left of it", run: deadlineBehind},
		{id: "N32", title: "a call that a service sends on late has what its caller has left", alone: true, run: deadlineSentOn,
			lacks: func(p *pairing) string {
				if p.clientLanguage == snake {
					return "no call of Nameko's has a deadline"
				}
				return ""
			}},
	}
}

// inspected is what the method inspect returns.
type inspected struct {
	Data  map[string]any `json:"data"`
	Stack []string       `json:"stack"`
}

func (x *trial) inspected(out outcome) inspected {
	x.Helper()
	if out.err != nil {
		x.Fatalf("inspect failed: %v", out)
	}
	var seen inspected
	x.must(json.Unmarshal(out.result, &seen))
	// What Enoki adds of its own travels like any other key.
	delete(seen.Data, "enoki_timeout_ms")
	delete(seen.Data, "enoki_deadline")
	delete(seen.Data, "enoki_retries")
	delete(seen.Data, "enoki-deadline")
	delete(seen.Data, "enoki-left")
	return seen
}

func contextData(x *trial) {
	given := map[string]any{"language": "en-gb", "user_id": 42, "big": 1 << 40, "ratio": 0.5, "ok": true,
		"list": []any{"a", 1}, "table": map[string]any{"k": "v"}}
	for _, kind := range []string{standalone, inService} {
		mark := x.client.wire().mark()
		client := x.caller(x.client, clientSpec{Kind: kind, Context: given})
		got := x.inspected(client.call(x.echo, "inspect")).Data
		text, err := json.Marshal(got)
		x.must(err)
		x.returns(outcome{result: text}, given)
		x.typedHeaders(x.client.wire().await(mark, "basic.publish", carries(x.echo+".inspect")))
	}
}

// typedHeaders ends the trial unless values have the types that py-amqp gives
// them.
func (x *trial) typedHeaders(s *said) {
	x.Helper()
	headers, _ := s.props["headers"].(map[string]any)
	for key, want := range map[string]any{
		"nameko.language": "en-gb", "nameko.user_id": int32(42), "nameko.big": int64(1 << 40), "nameko.ratio": 0.5, "nameko.ok": true,
		"nameko.list": []any{"a", int32(1)}, "nameko.table": map[string]any{"k": "v"},
	} {
		if !reflect.DeepEqual(headers[key], want) {
			x.Fatalf("header %s is %T %v, want %T %v", key, headers[key], headers[key], want, want)
		}
	}
	if _, list := headers["nameko.call_id_stack"].([]any); !list {
		x.Fatalf("header nameko.call_id_stack is %v, want a list", headers["nameko.call_id_stack"])
	}
}

// callID is the format that logging and tracing tools parse.
var callID = regexp.MustCompile(`^[\w-]+\.[\w-]+\.[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// stackOf ends the trial unless a stack ends in these methods, oldest first.
func (x *trial) stackOf(stack []string, methods ...string) {
	x.Helper()
	if len(stack) != len(methods) {
		x.Fatalf("call stack has %d ids, want %d: %q", len(stack), len(methods), stack)
	}
	for i, want := range methods {
		if !strings.HasPrefix(stack[i], want) || want != "" && !callID.MatchString(stack[i]) {
			x.Fatalf("call id %d is %q, want %s.<uuid>; all: %q", i, stack[i], want, stack)
		}
	}
}

func callStack(x *trial) {
	service := x.ownService(peerSpec{tracked: 3})
	client := x.caller(x.ownClient(peerSpec{}), clientSpec{})
	a, b := x.name("svc"), x.name("svc")
	x.serve(service, serviceSpec{Name: a})
	x.serve(service, serviceSpec{Name: b, Handlers: []handlerSpec{{Name: "on_told", Source: a, Event: "told"}}})
	x.stackOf(x.inspected(client.call(a, "inspect")).Stack, "", a+".inspect.")
	x.stackOf(x.inspected(client.call(a, "relay", b, "inspect", []any{})).Stack, "", a+".relay.", b+".inspect.")
	deep := client.call(a, "relay", b, "relay", []any{a, "relay", []any{b, "inspect", []any{}}})
	x.stackOf(x.inspected(deep).Stack, a+".relay.", b+".relay.", a+".relay.", b+".inspect.")
	x.returns(client.call(b, "relay", a, "emit", []any{"told", 1}), nil)
	x.stackOf(x.noted(service, b).Stack, "", b+".relay.", a+".emit.", b+".on_told.")
}

func noneInContext(x *trial) {
	mark := x.client.wire().mark()
	client := x.caller(x.client, clientSpec{Context: map[string]any{"nothing": nil, "something": 1}})
	got := x.inspected(client.call(x.echo, "inspect")).Data
	if _, there := got["nothing"]; there || got["something"] != 1.0 {
		x.Fatalf("context data are %v, want only something", got)
	}
	s := x.client.wire().await(mark, "basic.publish", carries(x.echo+".inspect"))
	if _, there := s.props["headers"].(map[string]any)["nameko.nothing"]; there {
		x.Fatalf("nameko.nothing is on the wire")
	}
}

// relayed posts a request with headers to a service that calls another, and
// returns what that one sees and the headers of the second request.
func (x *trial) relayed(headers map[string]any) (inspected, map[string]any) {
	x.Helper()
	key := x.name("key")
	inbox := x.inbox("nameko-rpc", key)
	mark := x.service.wire().mark()
	x.post(request{service: x.echo, method: "relay", body: `{"args": ["` + x.echo + `", "inspect", []], "kwargs": {}}`,
		properties: map[string]any{"headers": headers}}, key)
	got, m := x.reply(inbox)
	if got.Error != nil {
		x.Fatalf("relay was answered with %s", m.Body)
	}
	result, err := json.Marshal(got.Result)
	x.must(err)
	second := x.service.wire().await(mark, "basic.publish", func(s *said) bool { return s.fromClient && s.args["routing-key"] == x.echo+".inspect" })
	return x.inspected(outcome{result: result}), second.props["headers"].(map[string]any)
}

// deadlineBehind has a call come by way of a service with a time that was left
// to its sender long ago, and a deadline by the clock. Only a service in Go makes
// something of it; one in Python hands it on.
func deadlineBehind(x *trial) {
	const given, left = 60_000, 20_000 // ms; the test is slow on no machine
	end := time.Now().Add(left * time.Millisecond).UnixMilli()
	seen, wire := x.relayed(map[string]any{"nameko.call_id_stack": []any{"go.call.1"},
		"nameko.enoki_timeout_ms": int64(given), "nameko.enoki_deadline": end << 21})
	if x.serviceLanguage != golang {
		mark := reflect.ValueOf(wire["nameko.enoki_deadline"])
		if !mark.IsValid() || !mark.CanInt() || mark.Int()>>21-end < -1 || mark.Int()>>21-end > 1 { // the trial's own JSON rounds it
			x.Fatalf("headers of the next hop are %v", wire)
		}
		return
	}
	ms := reflect.ValueOf(wire["nameko.enoki_timeout_ms"])
	if !ms.IsValid() || !ms.CanInt() || ms.Int() < 1 || ms.Int() > left {
		x.Fatalf("headers of the next hop are %v, want at most %d ms; data %v", wire, left, seen)
	}
}

// deadlineSentOn has a client in Go call the service, which waits before it sends
// the call on to a service in Go: that one has what the client has left.
func deadlineSentOn(x *trial) {
	const timeout, held, clocks = 4 * patience, 3 * time.Second, 500 * time.Millisecond // of clocks that go in steps
	service, last := x.ownService(peerSpec{}), x.own(golang, peerSpec{})
	name, behind, gate := x.name("svc"), x.name("svc"), x.name("gate")
	x.serve(service, serviceSpec{Name: name})
	x.serve(last, serviceSpec{Name: behind})
	for _, kind := range []string{standalone, inService} {
		client := x.caller(x.ownClient(peerSpec{}), clientSpec{Kind: kind, Timeout: timeout.Seconds()})
		begun := time.Now()
		done := client.begin(name, "afterwards", gate, behind, "left", []any{})
		x.noted(service, name)
		<-time.After(held)
		service.release(gate)
		out := x.ended(done)
		passed := time.Since(begun)
		var left int64
		if out.err != nil || json.Unmarshal(out.result, &left) != nil {
			x.Fatalf("got %v, want a number", out)
		}
		least, most := timeout-passed-clocks, timeout-held+clocks
		if d := time.Duration(left) * time.Millisecond; d < least || d > most {
			x.Fatalf("the last has %v of %v left after %v, want %v to %v", d, timeout, passed, least, most)
		}
		gate = x.name("gate")
	}
}

func foreignHeaders(x *trial) {
	seen, wire := x.relayed(map[string]any{"foo": "bar", "nameko.user_id": 7, "x-number": 1})
	if seen.Data["foo"] != "bar" || seen.Data["user_id"] != 7.0 || seen.Data["x-number"] != 1.0 {
		x.Fatalf("context data are %v", seen.Data)
	}
	if wire["nameko.foo"] != "bar" || wire["nameko.user_id"] != int32(7) || wire["nameko.x-number"] != int32(1) || wire["foo"] != nil {
		x.Fatalf("headers of the next hop are %v", wire)
	}
}

func traceHeaders(x *trial) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	seen, wire := x.relayed(map[string]any{"nameko.traceparent": parent, "nameko.tracestate": "a=b"})
	if seen.Data["traceparent"] != parent || wire["nameko.traceparent"] != parent || wire["nameko.tracestate"] != "a=b" {
		x.Fatalf("context data are %v, headers of the next hop %v", seen.Data, wire)
	}
}

func textStack(x *trial) {
	seen, _ := x.relayed(map[string]any{"nameko.call_id_stack": "node.call.1"})
	if len(seen.Stack) != 3 || seen.Stack[0] != "node.call.1" {
		x.Fatalf("call stack is %q", seen.Stack)
	}
}
