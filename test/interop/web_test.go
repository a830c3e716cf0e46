package interop_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/internal/testserver"
	"github.com/enoki-go/enoki/web"
	"github.com/enoki-go/enoki/websocket"
)

// webBehaviours are HTTP and WebSocket entrypoints.
func webBehaviours() []*behaviour {
	return []*behaviour{
		{id: "C65", title: "what HTTP handlers return and raise: statuses, types and bodies", alone: true, run: httpAnswers},
		{id: "C66", title: "HTTP methods, path converters, slashes", alone: true, run: httpRoutes,
			better: serviceIn(golang, "404 and 405 are the same, but for people a problem (RFC 9457) instead of a page of HTML; OPTIONS says what methods there are")},
		{id: "C67", title: "WebSocket: connect, call, errors, malformed frames", alone: true, run: socketCalls},
		{id: "C68", title: "WebSocket hub: subscribe, broadcast, unicast, unsubscribe, close", alone: true, run: socketHub},
	}
}

// servicesOnly lets each service language have the behaviour once.
func servicesOnly(p *pairing) string {
	if p.serviceLanguage != p.clientLanguage {
		return "it is the service's alone (no client of its own language takes part), and stands under the same service in the other column"
	}
	return ""
}

// webRoutes are the entrypoints of the service under test, in Go.
func webRoutes() []web.Route {
	answer := func(text *web.Text, err error) func(context.Context, *http.Request) (*web.Text, error) {
		return func(context.Context, *http.Request) (*web.Text, error) { return text, err }
	}
	hub := websocket.NewHub(nil)
	return []web.Route{
		web.Plain("GET", "/empty", answer(&web.Text{}, nil)),
		web.Plain("GET", "/text", answer(&web.Text{Body: "ünï"}, nil)),
		web.Plain("GET", "/none", answer(nil, nil)),
		web.Plain("GET", "/two", answer(&web.Text{Status: 201, Body: "created"}, nil)),
		web.Plain("GET", "/three", answer(&web.Text{Status: 202, Body: "{}",
			Header: http.Header{"X-Foo": {"bar"}, "Content-Type": {"application/json"}}}, nil)),
		web.Plain("GET", "/boom", answer(nil, &enoki.Error{Type: "ValueError", Path: "builtins.ValueError", Message: "oops"})),
		web.Plain("GET", "/bad", answer(nil, &enoki.Error{Code: enoki.InvalidArgument, Type: "BadRequest", Path: "nameko.exceptions.BadRequest", Message: "bad one"})),
		web.Plain("GET", "/expected", answer(nil, &enoki.Error{Code: enoki.InvalidArgument, Type: "Expected", Path: "interop.Expected", Message: "client did it"})),
		web.Plain("GET", "/slash/", answer(&web.Text{Body: "slash"}, nil)),
		web.Plain("GET", "/get/<int:value>", func(_ context.Context, r *http.Request) (*web.Text, error) {
			return &web.Text{Body: `{"value": ` + r.PathValue("value") + `}`}, nil
		}),
		web.Plain("GET,PUT,POST", "/multi", func(_ context.Context, r *http.Request) (*web.Text, error) { return &web.Text{Body: r.Method}, nil }),
		web.Plain("POST", "/post", func(_ context.Context, r *http.Request) (*web.Text, error) {
			body, err := io.ReadAll(r.Body)
			return &web.Text{Body: "got: " + string(body)}, err
		}),
		web.WebSocket("/ws", hub, socketMethods(hub)...),
	}
}

func socketMethods(hub *websocket.Hub) []web.SocketFunction {
	return []web.SocketFunction{
		web.SocketMethod("ws_echo", func(_ context.Context, _ string, v json.RawMessage) (json.RawMessage, error) { return v, nil }, "value"),
		web.SocketMethod("ws_fail", func(context.Context, string) error {
			return &enoki.Error{Type: "ValueError", Path: "builtins.ValueError", Args: []any{"oops"}, Message: "oops"}
		}),
		web.SocketMethod("subscribe", func(_ context.Context, id, channel string) ([]string, error) {
			err := hub.Subscribe(id, channel)
			return hub.Subscriptions(id), err
		}, "channel"),
		web.SocketMethod("unsubscribe", func(_ context.Context, id, channel string) ([]string, error) {
			hub.Unsubscribe(id, channel)
			return hub.Subscriptions(id), nil
		}, "channel"),
		web.SocketMethod("broadcast", func(_ context.Context, _, channel string, data any) error {
			return hub.Broadcast(channel, "news", data)
		}, "channel", "data"),
		web.SocketMethod("unicast", func(_ context.Context, _, to string, data any) (bool, error) {
			return hub.Unicast(to, "mail", data)
		}, "to", "data"),
	}
}

// site starts a service with web entrypoints and returns its address.
func (x *trial) site() string {
	x.Helper()
	address := testserver.Address(x)
	x.serve(x.ownService(peerSpec{web: address}), serviceSpec{Name: x.name("svc"), Web: true})
	x.until("it listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			err = conn.Close()
		}
		return err == nil
	})
	return address
}

// anything is a body that is not compared.
const anything = "*"

// exchange is a request and what is to come of it. An empty type is not
// compared, nor is a header that is not named.
type exchange struct {
	request string
	status  int
	typ     string
	body    string
	header  map[string]string
}

// answersHTTP ends the trial unless a site answers the client as said.
func (x *trial) answersHTTP(site string, all []exchange) {
	x.Helper()
	client := x.visitor()
	for _, want := range all {
		method, target, _ := strings.Cut(want.request, " ")
		got, err := client.request(method, "http://"+site+target, "héllo")
		x.must(err)
		typ := got.Header.Get("Content-Type")
		if got.Status != want.status || want.typ != "" && typ != want.typ || want.body != anything && got.Body != want.body {
			x.Fatalf("%s was answered with %d %s %q, want %+v", want.request, got.Status, typ, got.Body, want)
		}
		for name, value := range want.header {
			if got.Header.Get(name) != value {
				x.Fatalf("%s was answered with %v, want %s %q", want.request, got.Header, name, value)
			}
		}
	}
}

const plainText = "text/plain; charset=utf-8"

func httpAnswers(x *trial) {
	x.answersHTTP(x.site(), []exchange{
		{"GET /empty", 200, plainText, "", nil},
		{"GET /text", 200, plainText, "ünï", nil},
		{"GET /none", 500, plainText, "Error: TypeError: Payload must be a string. Got `None`\n", nil},
		{"GET /two", 201, plainText, "created", nil},
		{"GET /three", 202, "application/json", "{}", map[string]string{"X-Foo": "bar", "Content-Length": "2"}},
		{"GET /boom", 500, plainText, "Error: ValueError: oops\n", nil},
		{"GET /bad", 400, plainText, "Error: BadRequest: bad one\n", nil},
		{"GET /expected", 400, plainText, "Error: Expected: client did it\n", nil},
		{"POST /post", 200, plainText, "got: héllo", nil},
	})
}

func httpRoutes(x *trial) {
	site := x.site()
	// What Nameko leaves to werkzeug is where Enoki goes its own way.
	pages, options, root := "text/html; charset=utf-8", 405, "http://"+site
	if x.serviceLanguage == golang {
		pages, options, root = "application/problem+json", 204, ""
	}
	x.answersHTTP(site, []exchange{
		{"GET /get/5", 200, plainText, `{"value": 5}`, nil},
		{"GET /get/x", 404, pages, anything, nil},
		{"GET /get/-5", 404, pages, anything, nil},
		{"HEAD /get/5", 200, plainText, "", map[string]string{"Content-Length": "12"}},
		{"GET /multi", 200, plainText, "GET", nil},
		{"PUT /multi", 200, plainText, "PUT", nil},
		{"POST /multi", 200, plainText, "POST", nil},
		{"DELETE /multi", 405, pages, anything, nil},
		{"GET /slash", 308, "", anything, map[string]string{"Location": root + "/slash/"}},
		{"GET /slash/", 200, plainText, "slash", nil},
		{"GET /nope", 404, pages, anything, nil},
		{"GET /ws", 400, "", anything, nil},
		{"OPTIONS /multi", options, "", anything, nil},
	})
}

// browser is one open WebSocket.
type browser struct {
	trial  *trial
	socket socket
	id     string
}

// browse opens a WebSocket and takes the greeting.
func (x *trial) browse(client visitor, site string) *browser {
	x.Helper()
	socket, err := client.dial("ws://" + site + "/ws")
	x.must(err)
	b := &browser{trial: x, socket: socket}
	var greeting struct {
		Type, Event string
		Data        struct {
			ID string `json:"socket_id"`
		}
	}
	x.must(json.Unmarshal([]byte(b.read()), &greeting))
	if greeting.Type != "event" || greeting.Event != "connected" || !callID.MatchString("a.b."+greeting.Data.ID) {
		x.Fatalf("the greeting was %+v", greeting)
	}
	b.id = greeting.Data.ID
	return b
}

func (b *browser) read() string {
	b.trial.Helper()
	frame, err := b.socket.read()
	b.trial.must(err)
	return frame
}

func (b *browser) write(frame string) {
	b.trial.Helper()
	b.trial.must(b.socket.write(frame))
}

// gets ends the trial unless the next frame is this one, by JSON.
func (b *browser) gets(want string) {
	b.trial.Helper()
	b.trial.returns(outcome{result: json.RawMessage(b.read())}, json.RawMessage(want))
}

func (b *browser) asks(frame, want string) {
	b.trial.Helper()
	b.write(frame)
	b.gets(want)
}

func socketCalls(x *trial) {
	b := x.browse(x.visitor(), x.site())
	b.asks(`{"method":"ws_echo","data":{"value":{"a":[1,null]}},"correlation_id":"x"}`,
		`{"type":"result","success":true,"data":{"a":[1,null]},"correlation_id":"x"}`)
	b.asks(`{"method":"ws_echo","data":{"value":1}}`, `{"type":"result","success":true,"data":1,"correlation_id":null}`)
	b.asks(`{"method":"ws_echo","data":{"value":1},"correlation_id":{"any":[1]}}`,
		`{"type":"result","success":true,"data":1,"correlation_id":{"any":[1]}}`)
	b.asks(`{"method":"ws_fail","correlation_id":1}`,
		`{"type":"result","success":false,"correlation_id":1,"error":{"exc_type":"ValueError","exc_path":"builtins.ValueError","exc_args":["oops"],"value":"oops"}}`)
	b.asks(`{"method":"nope","correlation_id":2}`,
		`{"type":"result","success":false,"correlation_id":2,"error":{"exc_type":"MethodNotFound","exc_path":"nameko.exceptions.MethodNotFound","exc_args":[],"value":""}}`)
	for _, frame := range []string{`not json`, `{}`, `{"data":{}}`} {
		b.asks(frame, `{"type":"result","success":false,"correlation_id":null,"error":{"exc_type":"MalformedRequest",`+
			`"exc_path":"nameko.exceptions.MalformedRequest","exc_args":["Invalid JSON data"],"value":"Invalid JSON data"}}`)
	}
	for _, frame := range []string{`{"method":"ws_echo"}`, `{"method":"ws_echo","data":{"value":1,"more":2}}`} {
		b.write(frame)
		if answer := b.read(); !strings.Contains(answer, "nameko.exceptions.IncorrectSignature") {
			x.Fatalf("%s was answered with %s", frame, answer)
		}
	}
	b.asks(`{"method":"ws_echo","data":{"value":1}}`, `{"type":"result","success":true,"data":1,"correlation_id":null}`)
}

func socketHub(x *trial) {
	site := x.site()
	client := x.visitor()
	a, b := x.browse(client, site), x.browse(client, site)
	ok := func(data string) string {
		return `{"type":"result","success":true,"data":` + data + `,"correlation_id":null}`
	}
	a.asks(`{"method":"subscribe","data":{"channel":"one"}}`, ok(`["one"]`))
	a.asks(`{"method":"subscribe","data":{"channel":"two"}}`, ok(`["one","two"]`))
	a.asks(`{"method":"subscribe","data":{"channel":"one"}}`, ok(`["one","two"]`))
	b.asks(`{"method":"subscribe","data":{"channel":"two"}}`, ok(`["two"]`))

	news := func(data string) string { return `{"type":"event","event":"news","data":` + data + `}` }
	b.write(`{"method":"broadcast","data":{"channel":"two","data":{"k":1}}}`)
	b.gets(news(`{"k":1}`)) // before the result of the call that sent it
	b.gets(ok("null"))
	a.gets(news(`{"k":1}`))
	b.asks(`{"method":"broadcast","data":{"channel":"one","data":"only a"}}`, ok("null"))
	a.gets(news(`"only a"`))

	b.asks(`{"method":"unicast","data":{"to":"`+a.id+`","data":[1]}}`, ok("true"))
	a.gets(`{"type":"event","event":"mail","data":[1]}`)
	b.asks(`{"method":"unicast","data":{"to":"nobody","data":1}}`, ok("false"))

	a.asks(`{"method":"unsubscribe","data":{"channel":"two"}}`, ok(`["one"]`))
	a.asks(`{"method":"unsubscribe","data":{"channel":"two"}}`, ok(`["one"]`))
	b.write(`{"method":"broadcast","data":{"channel":"two","data":2}}`)
	b.gets(news("2"))
	b.gets(ok("null"))
	a.asks(`{"method":"ws_echo","data":{"value":"nothing came before"}}`, ok(`"nothing came before"`))

	x.must(a.socket.hangUp())
	x.until("the hub has forgotten a closed socket", func() bool {
		b.write(`{"method":"unicast","data":{"to":"` + a.id + `","data":1}}`)
		return strings.Contains(b.read(), "false")
	})
}
