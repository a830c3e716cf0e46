package interop_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/serializer"
)

// serializerBehaviours are forms of bodies other than plain JSON.
func serializerBehaviours() []*behaviour {
	return []*behaviour{
		{id: "C58", title: "a reply in the serializer of its request, of several that are accepted", alone: true, run: replySerializer},
		{id: "C59", title: "a custom serializer, used both ways; an unknown name is refused", alone: true, run: customSerializer},
		{id: "N09", title: "Python's datetime, Decimal, UUID, NaN in JSON, by kombu old and new", run: dialect,
			lacks: func(p *pairing) string {
				if p.serviceLanguage == golang || p.clientLanguage == snake {
					return "it is about what a Go client gets of a Python service"
				}
				return ""
			}},
		{id: "N31", title: "a float comes back as a float, a whole number as one, in every serializer", alone: true, run: floats},
		{id: "N12", title: "events in MessagePack", alone: true, run: packedEvents},
		{id: "N13", title: "a serializer that is not accepted: an error, and the service lives", alone: true, run: notAccepted,
			better: serviceIn(golang, "Nameko drops the request without a reply; Enoki refuses it"),
			lacks:  serviceIn(snake, "Nameko drops the request without a reply: its caller waits for ever")},
	}
}

// The serializer of users' own: JSON, backwards.
const (
	backwards     = "backwards"
	backwardsType = "application/x-backwards"
)

// serializers are Enoki's by Nameko's names. JSON needs none.
func serializers() map[string]*enoki.Serializer {
	packed, yaml := serializer.MsgPack(), serializer.YAML()
	turn := func(body []byte) ([]byte, error) {
		runes := []rune(string(body)) // as Python turns text
		slices.Reverse(runes)
		return []byte(string(runes)), nil
	}
	return map[string]*enoki.Serializer{
		"msgpack": &packed, "yaml": &yaml,
		backwards: {Name: backwards, ContentType: backwardsType, Decode: turn, Encode: turn},
	}
}

var contentTypes = map[string]string{"json": "application/json", "msgpack": "application/x-msgpack", "yaml": "application/x-yaml", backwards: backwardsType}

// speaks ends the trial unless a client's call and its reply have a content
// type, and any value comes back equal.
func (x *trial) speaks(service peer, name, serializer string, accept ...string) {
	x.Helper()
	own := x.ownClient(peerSpec{serializer: serializer, accept: accept})
	client := x.caller(own, clientSpec{})
	for _, v := range []any{nil, true, 42, -1.5, "ünï", []any{1, "two", nil}, map[string]any{"k": map[string]any{"deep": []any{false}}}} {
		mark, sent := service.wire().mark(), own.wire().mark()
		x.returns(client.call(name, "echo", v), v)
		request := own.wire().await(sent, "basic.publish", carries(name+".echo"))
		reply := service.wire().await(mark, "basic.publish", carries(request.props["reply_to"].(string)))
		for _, s := range []*said{request, reply} {
			if s.props["content_type"] != contentTypes[serializer] {
				x.Fatalf("a message of %s is of type %v", serializer, s.props["content_type"])
			}
		}
	}
	f := x.fails(client.call(name, "fail", "value"), remoteError)
	if f.typ != "ValueError" {
		x.Fatalf("an error in %s arrived as %v", serializer, f)
	}
	x.fails(client.call(name, "spread"), incorrectSignature)
}

func replySerializer(x *trial) {
	service := x.ownService(peerSpec{accept: []string{"json", "msgpack", "yaml"}})
	name := x.name("svc")
	x.serve(service, serviceSpec{Name: name})
	for _, serializer := range []string{"json", "msgpack", "yaml"} {
		x.speaks(service, name, serializer)
	}
}

func customSerializer(x *trial) {
	service := x.ownService(peerSpec{serializer: backwards, accept: []string{backwards, "json"}})
	name := x.name("svc")
	x.serve(service, serviceSpec{Name: name})
	x.speaks(service, name, backwards)
	x.speaks(service, name, "json")
	if x.serviceLanguage == golang {
		if _, err := serializer.ByName("nonsense"); err == nil {
			x.Fatalf("an unknown serializer was no error")
		}
		return
	}
	_, err := x.ownService(peerSpec{serializer: "nonsense"}).serve(serviceSpec{Name: x.name("svc")})
	if err == nil {
		x.Fatalf("an unknown serializer was no error")
	}
}

func dialect(x *trial) {
	out := x.standalone().call(x.echo, "python_values")
	if out.err != nil {
		x.Fatalf("python_values: %v", out)
	}
	var got map[string]any
	x.must(json.Unmarshal(out.result, &got))
	untagAlike(x, got)
	want := map[string]any{
		"datetime": "2024-02-29T01:02:03.004000", "date": "2024-02-29", "decimal": "1.10",
		"uuid": "12345678-1234-4678-9234-567812345678", "nan": "NaN", "infinity": []any{"Infinity", "-Infinity"},
	}
	for key, value := range want {
		if key == "datetime" || key == "date" {
			continue // compared below: versions differ in their digits
		}
		if fmt.Sprint(got[key]) != fmt.Sprint(value) {
			x.Fatalf("%s arrived as %v, want %v", key, got[key], value)
		}
	}
	for key, begins := range map[string]string{"datetime": "2024-02-29T01:02:03.004", "date": "2024-02-29"} {
		if text, _ := got[key].(string); len(text) < len(begins) || text[:len(begins)] != begins {
			x.Fatalf("%s arrived as %v, want %s", key, got[key], begins)
		}
	}
	x.returns(x.standalone().call(x.echo, "echo", 1), 1)
}

// untagAlike makes text of values that kombu has tagged, which it does with all
// of them from 5.3 on, as Nameko 3 has it here, and with none before.
func untagAlike(x *trial, values map[string]any) {
	x.Helper()
	tags := x.nameko() == "3.0.0rc11"
	for _, kind := range []string{"datetime", "date", "decimal", "uuid"} {
		object, tagged := values[kind].(map[string]any)
		if tagged != tags || tagged && (object["__type__"] != kind || len(object) != 2) {
			x.Fatalf("%s arrived as %v", kind, values[kind])
		}
		if !tagged {
			continue
		}
		values[kind] = object["__value__"]
		if parts, ok := object["__value__"].(map[string]any); ok { // of a UUID
			digits, _ := parts["hex"].(string)
			id, err := hex.DecodeString(digits)
			if err != nil || len(id) != 16 {
				x.Fatalf("uuid arrived as %v", object)
			}
			values[kind] = fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
		}
	}
}

// floats go through the service as values of any type, and of a type of their
// own. Python tells 1.0 from 1.
func floats(x *trial) {
	service := x.ownService(peerSpec{accept: []string{"json", "msgpack", "yaml"}})
	name := x.name("svc")
	x.serve(service, serviceSpec{Name: name})
	for _, serializer := range []string{"json", "msgpack", "yaml"} {
		client := x.caller(x.ownClient(peerSpec{serializer: serializer}), clientSpec{})
		for _, text := range []string{`1.0`, `1`, `-2.0`, `[0.0, 0, {"k": 3.0}]`} {
			x.returns(client.call(name, "keep", json.RawMessage(text)), json.RawMessage(text))
		}
		x.returns(client.call(name, "half", json.RawMessage(`4.0`)), json.RawMessage(`2.0`))
		x.returns(client.call(name, "half", 4), json.RawMessage(`2.0`))
	}
}

func packedEvents(x *trial) {
	service := x.ownService(peerSpec{serializer: "msgpack"})
	client := x.ownClient(peerSpec{serializer: "msgpack"})
	source := x.name("src")
	spec := serviceSpec{Name: x.name("svc"), Handlers: []handlerSpec{{Name: "on_told", Source: source, Event: "told"}}}
	x.serve(service, spec)
	x.emits(client, source, "told", map[string]any{"k": []any{1, nil, "ü"}})
	s := client.wire().await(0, "basic.publish", carries("told"))
	if s.props["content_type"] != contentTypes["msgpack"] {
		x.Fatalf("the event is of type %v", s.props["content_type"])
	}
	x.returns(outcome{result: x.noted(service, spec.Name).Payload}, map[string]any{"k": []any{1, nil, "ü"}})
}

func notAccepted(x *trial) {
	service := x.ownService(peerSpec{})
	name := x.name("svc")
	x.serve(service, serviceSpec{Name: name})
	packing := x.caller(x.ownClient(peerSpec{serializer: "msgpack", accept: []string{"msgpack", "json"}}), clientSpec{})
	x.fails(packing.call(name, "echo", 1), malformedRequest)
	x.answers(x.caller(x.ownClient(peerSpec{}), clientSpec{}), name)
}
