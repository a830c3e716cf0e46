package interop_test

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/enoki-go/enoki"
)

// errorBehaviours are refused requests, failing methods and what callers see
// of them.
func errorBehaviours() []*behaviour {
	return []*behaviour{
		{id: "C07", title: "arguments that do not fit: IncorrectSignature", run: signatures},
		{id: "C08", title: "a method that is not there: MethodNotFound", run: missingMethod},
		{id: "C09", title: "a body without args or kwargs: MalformedRequest", run: malformed},
		{id: "C10", title: "any other body that is no request: an error reply", run: notARequest},
		{id: "C11", title: "a method that fails: remote error with type, path, args, value", run: failing},
		{id: "N14", title: "an error type that both sides know by its path crosses as itself", run: knownError},
		{id: "C12", title: "an error of a nested call: RemoteError of RemoteError", run: nestedError},
		{id: "C14", title: "a result that can't be encoded: UnserializableValueError", run: unserializable},
		{id: "C15", title: "an argument that can't be encoded: an error of the client's own", run: foreignArgument},
		{id: "C16", title: "an error whose text fails: an error all the same", run: unprintableError},
		{id: "C17", title: "arguments of an error travel as text, lists and maps", run: errorArguments},
		{id: "C18", title: "an error from an old peer, without path and args or with a traceback", lacks: clientsOnly, run: oldErrors},
		{id: "C19", title: "an error with a known name and another path stays remote", lacks: clientsOnly, run: nameClash},
	}
}

// clientsOnly lets each client language have the behaviour once.
func clientsOnly(p *pairing) string {
	if p.serviceLanguage != p.clientLanguage {
		return "it is the client's alone (the replies are made up), and stands under the same client in the other column"
	}
	return ""
}

func signatures(x *trial) {
	for _, c := range []struct {
		method string
		args   []any
		kwargs map[string]any
		names  string // what the message has to name
	}{
		{"spread", nil, nil, "'a'"},
		{"spread", []any{1}, nil, "'b'"},
		{"spread", nil, map[string]any{"b": 1}, "'a'"},
		{"spread", nil, map[string]any{"c": 1}, "'a'"},
		{"spread", []any{1}, map[string]any{"c": 1}, "'b'"},
		{"spread", []any{1, 2, 3, 4}, nil, "4"},
		{"spread", []any{1, 2}, map[string]any{"d": 1}, "'d'"},
		{"spread", []any{1, 2}, map[string]any{"a": 1}, "'a'"},
		{"spread", []any{1, 2, 3}, map[string]any{"c": 1}, "'c'"},
		{"spread", nil, map[string]any{"a": 1, "b": 2, "z": 3}, "'z'"},
		{"nothing", []any{1}, nil, "nothing()"},
		{"nothing", nil, map[string]any{"x": 1}, "'x'"},
	} {
		f := x.fails(x.standalone().do(callSpec{Service: x.echo, Method: c.method, Args: c.args, Kwargs: c.kwargs}), incorrectSignature)
		if !strings.Contains(f.value, c.names) {
			x.Fatalf("%s(%v, %v): the message %q does not name %s", c.method, c.args, c.kwargs, f.value, c.names)
		}
	}
}

func missingMethod(x *trial) {
	for _, client := range x.clients() {
		f := x.fails(client.call(x.echo, "no_such_method"), methodNotFound)
		if !reflect.DeepEqual(f.args, []any{"no_such_method"}) || f.value != "no_such_method" {
			x.Fatalf("args %q and value %q, want the method's name", f.args, f.value)
		}
	}
}

// refuses ends the trial unless the service answers a body with an error of
// this type, in the same content type, and lives on.
func (x *trial) refuses(r request, typ string) {
	x.Helper()
	if r.service == "" {
		r.service, r.method = x.echo, "echo"
	}
	key := x.name("key")
	inbox := x.inbox("nameko-rpc", key)
	x.post(r, key)
	got, m := x.reply(inbox)
	path := "nameko.exceptions." + typ
	if typ == "TypeError" {
		path = "builtins." + typ
	}
	if got.Error == nil || got.Result != nil || got.Error.Type != typ || got.Error.Path != path {
		x.Fatalf("%s was answered with %s, want an error %s", r.body, m.Body, path)
	}
	x.returns(x.standalone().call(x.echo, "echo", 1), 1)
}

func malformed(x *trial) {
	for _, body := range []string{`{}`, `{"args": []}`, `{"kwargs": {}}`, `{"arg": [1], "kwargs": {}}`} {
		x.refuses(request{body: body}, malformedRequest)
	}
	// Extra keys are no mistake.
	key := x.name("key")
	inbox := x.inbox("nameko-rpc", key)
	x.post(request{service: x.echo, method: "echo", body: `{"args": [7], "kwargs": {}, "more": 1}`}, key)
	if got, m := x.reply(inbox); got.Error != nil || got.Result != 7.0 {
		x.Fatalf("a request with an extra key was answered with %s", m.Body)
	}
}

func notARequest(x *trial) {
	for body, inPython := range map[string]string{ // Nameko does not look: Python itself fails
		`null`: "TypeError", `[]`: "TypeError", `[1]`: "TypeError",
		`{"args": null, "kwargs": {}}`: incorrectSignature, `{"args": [], "kwargs": null}`: incorrectSignature,
	} {
		typ := malformedRequest
		if x.serviceLanguage == snake {
			typ = inPython
		}
		x.refuses(request{body: body}, typ)
	}
}

func failing(x *trial) {
	for _, c := range []struct {
		kind, typ, path, value string
		args                   []any
	}{
		{"value", "ValueError", "builtins.ValueError", "('bad value', 42)", []any{"bad value", "42"}},
		{"custom", "CustomError", "interop.CustomError", "('shop', 'closed')", []any{"shop", "closed"}},
	} {
		for _, client := range x.clients() {
			mark := x.service.wire().mark()
			f := x.fails(client.call(x.echo, "fail", c.kind), remoteError)
			path := c.path
			if x.clientLanguage == snake {
				path = "" // a RemoteError of Nameko's has none
			}
			if f.typ != c.typ || f.value != c.value || f.path != path {
				x.Fatalf("the caller got %v, want %s %s", f, c.typ, c.value)
			}
			got, said := x.replyHeard(x.service, mark)
			if e := got.Error; e == nil || e.Type != c.typ || e.Path != c.path || e.Value != c.value || !reflect.DeepEqual(e.Args, c.args) {
				x.Fatalf("the reply was %s, want %+v", said.body, c)
			}
		}
	}
}

func knownError(x *trial) {
	for _, client := range x.clients() {
		f := client.call(x.echo, "fail", "shared").err
		if f == nil || f.typ != "SharedError" || f.path != "interop.SharedError" || !reflect.DeepEqual(f.args, []any{"shop", "closed"}) {
			x.Fatalf("got %v", f)
		}
		if x.clientLanguage == golang && f.local != "*interop_test.sharedError" {
			x.Fatalf("the caller got a %s instead of its own type", f.local)
		}
	}
}

func nestedError(x *trial) {
	inner := x.name("svc")
	x.serve(x.service, serviceSpec{Name: inner})
	f := x.fails(x.standalone().call(x.echo, "relay", inner, "fail", []any{"value"}), remoteError)
	if f.typ != "RemoteError" || f.value != "ValueError ('bad value', 42)" {
		x.Fatalf("got %v, want RemoteError of ValueError", f)
	}
	nobody := x.name("nobody")
	f = x.fails(x.standalone().call(x.echo, "relay", nobody, "echo", []any{1}), remoteError)
	if f.typ != "UnknownService" || !strings.Contains(f.value, nobody) {
		x.Fatalf("a service unknown to the callee: got %v, want a RemoteError of UnknownService that names it", f)
	}
}

func unserializable(x *trial) {
	f := x.fails(x.standalone().call(x.echo, "unserializable"), remoteError)
	if f.typ != "UnserializableValueError" || !strings.HasPrefix(f.value, "Unserializable value:") {
		x.Fatalf("got %v", f)
	}
	x.returns(x.standalone().call(x.echo, "echo", 1), 1)
}

func foreignArgument(x *trial) {
	for _, client := range x.clients() {
		mark := x.client.wire().mark()
		x.failsAs(client.do(callSpec{Service: x.echo, Method: "echo", Foreign: true}).err, enoki.InvalidArgument, "kombu.exceptions.EncodeError")
		if n := len(x.client.wire().since(mark, "basic.publish", carries(x.echo+".echo"))); n != 0 {
			x.Fatalf("%d requests were sent", n)
		}
		x.returns(client.call(x.echo, "echo", 1), 1)
	}
}

func unprintableError(x *trial) {
	f := x.fails(x.standalone().call(x.echo, "fail", "unprintable"), remoteError)
	typ, value := "Unprintable", "[__unicode__ failed]"
	if x.serviceLanguage == golang {
		typ, value = "Panic", "panic: no text"
	}
	if f.typ != typ || f.value != value {
		x.Fatalf("got %v, want %s: %s", f, typ, value)
	}
	x.returns(x.standalone().call(x.echo, "echo", 1), 1)
}

func errorArguments(x *trial) {
	mark := x.service.wire().mark()
	x.fails(x.standalone().call(x.echo, "fail", "args"), remoteError)
	got, said := x.replyHeard(x.service, mark)
	want := []any{"text", "42", "None", "True", []any{"a", "1"}, map[string]any{"k": "2"}}
	if got.Error == nil || !reflect.DeepEqual(got.Error.Args, want) {
		x.Fatalf("the reply was %s, want exc_args %v", said.body, want)
	}
}

// fake serves a new service with one and the same error and returns its name.
func (x *trial) fake(err map[string]any) string {
	x.Helper()
	name := x.name("fake")
	body, marshal := json.Marshal(map[string]any{"result": nil, "error": err})
	x.must(marshal)
	x.probe("fake", map[string]any{"service": name, "body": string(body)})
	return name
}

func oldErrors(x *trial) {
	for _, e := range []map[string]any{
		{"exc_type": "ValueError", "value": "old"},
		{"exc_type": "ValueError", "value": "old", "traceback": "Traceback ..."},
		{"exc_type": "ValueError", "exc_path": "exceptions.ValueError", "exc_args": []any{"old"}, "value": "old"},
	} {
		for _, client := range x.clients() {
			if f := x.fails(client.call(x.fake(e), "any"), remoteError); f.typ != "ValueError" || f.value != "old" {
				x.Fatalf("%v arrived as %v", e, f)
			}
		}
	}
}

func nameClash(x *trial) {
	name := x.fake(map[string]any{"exc_type": "MethodNotFound", "exc_path": "other.MethodNotFound", "exc_args": []any{"m"}, "value": "m"})
	for _, client := range x.clients() {
		if f := x.fails(client.call(name, "any"), remoteError); f.typ != "MethodNotFound" || f.value != "m" {
			x.Fatalf("arrived as %v", f)
		}
	}
}
