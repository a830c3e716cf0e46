package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/web"
	"github.com/enoki-go/enoki/websocket"
)

// chat is the Go form of the Python service whose session was recorded.
func chat(hub *websocket.Hub) web.Route {
	return web.WebSocket("", hub,
		web.SocketMethod("echo", func(_ context.Context, _ string, x any) (any, error) { return x, nil }, "x?"),
		web.SocketMethod("wsboom", func(context.Context, string) error {
			return &enoki.Error{Type: "ValueError", Path: "builtins.ValueError", Message: "wsoops"}
		}),
		web.SocketMethod("sub", func(_ context.Context, socketID, channel string) ([]string, error) {
			err := hub.Subscribe(socketID, channel)
			return hub.Subscriptions(socketID), err
		}, "ch"),
		web.SocketMethod("cast", func(_ context.Context, _, channel string) (string, error) {
			return "sent", hub.Broadcast(channel, "news", map[string]int{"k": 1})
		}, "ch"),
		web.SocketMethod("uni", func(_ context.Context, socketID string) (bool, error) {
			return hub.Unicast(socketID, "direct", map[string]string{"to": "you"})
		}),
		web.SocketMethod("secret", func(context.Context, string) error { return errors.New("secret") }),
		web.SocketMethod("panic", func(context.Context, string) error { panic("secret") }),
		web.SocketMethod("lost", func(context.Context, string) error { return hub.Subscribe("nobody", "room") }),
		web.SocketMethod("add", func(_ context.Context, _ string, a, b int) (int, int, error) { return a + b, a - b, nil }, "a", "b"),
		web.SocketMethod("nothing", func(context.Context, string) error { return nil }),
		web.SocketMethod("remote", func(context.Context, string) error {
			return &enoki.Error{Code: enoki.MethodNotFound, Message: "nobody"}
		}),
	)
}

// dial opens a WebSocket and returns it with its id.
func dial(t testing.TB, url string, o *coder.DialOptions) (*coder.Conn, string) {
	t.Helper()
	conn, _, err := coder.Dial(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	var connected struct {
		Data struct {
			SocketID string `json:"socket_id"`
		}
	}
	if err := json.Unmarshal([]byte(receive(t, conn)), &connected); err != nil || connected.Data.SocketID == "" {
		t.Fatalf("no connected event: %v", err)
	}
	return conn, connected.Data.SocketID
}

func send(t testing.TB, conn *coder.Conn, frame string) {
	t.Helper()
	if err := conn.Write(t.Context(), coder.MessageText, []byte(frame)); err != nil {
		t.Fatal(err)
	}
}

func receive(t testing.TB, conn *coder.Conn) string {
	t.Helper()
	_, frame, err := conn.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(frame)
}

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// A session as recorded with Nameko 2.14.1, and then what is our own. The one
// text that differs is that of data which is no object, where Python tells of
// its own source.
func TestSocketSession(t *testing.T) {
	t.Parallel()
	r := run(t, web.Options{}, enoki.Options{}, chat(websocket.NewHub(nil)))
	conn, _ := dial(t, r.url("/ws"), nil)
	const malformed = `{"type": "result", "success": false, "error": {"exc_type": "MalformedRequest", "exc_path": "nameko.exceptions.MalformedRequest", "exc_args": ["Invalid JSON data"], "value": "Invalid JSON data"}, "correlation_id": null}`
	for _, step := range []string{
		`> {"method": "echo", "data": {"x": [1, null, "ü"]}, "correlation_id": "c1"}`,
		`< {"type": "result", "success": true, "data": [1, null, "\u00fc"], "correlation_id": "c1"}`,
		`> {"method": "echo", "data": {"x": 1}}`,
		`< {"type": "result", "success": true, "data": 1, "correlation_id": null}`,
		`> {"method": "echo"}`,
		`< {"type": "result", "success": true, "data": null, "correlation_id": null}`,
		`> {"method": "echo", "data": {"zzz": 1}, "correlation_id": "c2"}`,
		`< {"type": "result", "success": false, "error": {"exc_type": "IncorrectSignature", "exc_path": "nameko.exceptions.IncorrectSignature", "exc_args": ["echo() got an unexpected keyword argument 'zzz'"], "value": "echo() got an unexpected keyword argument 'zzz'"}, "correlation_id": "c2"}`,
		`> {"method": "wsboom", "correlation_id": 3}`,
		`< {"type": "result", "success": false, "error": {"exc_type": "ValueError", "exc_path": "builtins.ValueError", "exc_args": ["wsoops"], "value": "wsoops"}, "correlation_id": 3}`,
		`> {"method": "nope", "correlation_id": "c4"}`,
		`< {"type": "result", "success": false, "error": {"exc_type": "MethodNotFound", "exc_path": "nameko.exceptions.MethodNotFound", "exc_args": [], "value": ""}, "correlation_id": "c4"}`,
		`> {"data": {}, "correlation_id": "c5"}`, `< ` + malformed,
		`> not json`, `< ` + malformed,
		`> [1,2]`, `< ` + malformed,
		`> {"method": "sub", "data": {"ch": "room"}, "correlation_id": "c6"}`,
		`< {"type": "result", "success": true, "data": ["room"], "correlation_id": "c6"}`,
		`> {"method": "cast", "data": {"ch": "room"}, "correlation_id": "c7"}`,
		`< {"type": "event", "event": "news", "data": {"k": 1}}`,
		`< {"type": "result", "success": true, "data": "sent", "correlation_id": "c7"}`,
		`> {"method": "uni", "correlation_id": "c8"}`,
		`< {"type": "event", "event": "direct", "data": {"to": "you"}}`,
		`< {"type": "result", "success": true, "data": true, "correlation_id": "c8"}`,
		`> {"method": "echo", "data": [1], "correlation_id": "c9"}`,
		`< {"type": "result", "success": false, "error": {"exc_type": "IncorrectSignature", "exc_path": "nameko.exceptions.IncorrectSignature", "exc_args": ["echo() takes its arguments by name: data must be an object"], "value": "echo() takes its arguments by name: data must be an object"}, "correlation_id": "c9"}`,

		`> {"method": "add", "data": {"a": 5, "b": 3}}`,
		`< {"type": "result", "success": true, "data": [8, 2], "correlation_id": null}`,
		`> {"method": "add", "data": {"a": 5}}`,
		`< ` + exception("IncorrectSignature", "nameko.exceptions.IncorrectSignature", "add() missing 1 required positional argument: 'b'"),
		`> {"method": "add", "data": {"a": 5, "b": "x"}}`,
		`< ` + exception("IncorrectSignature", "nameko.exceptions.IncorrectSignature", "argument b: want int, got string"),
		`> {"method": "add", "data": {"a": 5, "b": 3, "socket_id": "another"}}`,
		`< ` + exception("IncorrectSignature", "nameko.exceptions.IncorrectSignature", "add() got multiple values for argument 'socket_id'"),
		`> {"method": "nothing"}`,
		`< {"type": "result", "success": true, "data": null, "correlation_id": null}`,
		`> {"method": "secret"}`, `< ` + exception("Error", "enoki.Error", "internal error"),
		`> {"method": "panic"}`, `< ` + exception("Panic", "enoki.Panic", "internal error"),
		`> {"method": "lost"}`, `< ` + exception("ConnectionNotFound", "nameko.exceptions.ConnectionNotFound", "nobody"),
		`> {"method": "remote"}`, `< ` + exception("RemoteError", "nameko.exceptions.RemoteError", "internal error"),
	} {
		if frame, ok := strings.CutPrefix(step, "> "); ok {
			send(t, conn, frame)
		} else if got, want := receive(t, conn), step[2:]; !sameJSON(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	for _, want := range []string{"method=secret", "error=secret", "method=panic"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log has no %q", want)
		}
	}
	if strings.Contains(r.log.String(), "ERROR msg=\"handler failed\" kind=websocket method=lost") {
		t.Error("a client's mistake is logged as a fault")
	}
}

func exception(class, path, value string) string {
	return fmt.Sprintf(`{"type":"result","success":false,"error":{"exc_type":%q,"exc_path":%q,"exc_args":[%q],"value":%q},"correlation_id":null}`, class, path, value, value)
}

func TestSocketCallRunsInService(t *testing.T) {
	t.Parallel()
	var seen []string
	record := func(next enoki.Handler) enoki.Handler {
		return func(ctx context.Context, c *enoki.Call) error {
			seen = append(seen, fmt.Sprintf("%s %s %s", c.Kind, c.Service, c.Method))
			if websocket.Request(ctx).Header.Get("Authorization") == "" {
				return enoki.Errorf(enoki.Unauthenticated, "who are you?")
			}
			return next(ctx, c)
		}
	}
	r := run(t, web.Options{Timeout: time.Hour}, enoki.Options{Middleware: []enoki.Middleware{record}},
		web.WebSocket("/socket", websocket.NewHub(nil), web.SocketMethod("where", func(ctx context.Context, id string) (string, error) {
			deadline, ok := ctx.Deadline()
			call := enoki.CallID(ctx)
			return fmt.Sprint(id, " ", call[:len(call)-36], " ", ok && time.Until(deadline) > time.Minute), nil
		})))
	stranger, _ := dial(t, r.url("/socket"), nil)
	send(t, stranger, `{"method":"where"}`)
	if got, want := receive(t, stranger), exception("Unauthenticated", "enoki.Unauthenticated", "who are you?"); !sameJSON(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	conn, id := dial(t, r.url("/socket"), &coder.DialOptions{HTTPHeader: http.Header{"Authorization": {"x"}}})
	send(t, conn, `{"method":"where"}`)
	if got, want := receive(t, conn), `{"type":"result","success":true,"data":"`+id+` api.where. true","correlation_id":null}`; !sameJSON(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if want := []string{"websocket api where", "websocket api where"}; !slices.Equal(seen, want) {
		t.Errorf("middleware saw %q", seen)
	}
}

func TestSocketCallHasDeadline(t *testing.T) {
	t.Parallel()
	r := run(t, web.Options{Timeout: 20 * time.Millisecond}, enoki.Options{},
		web.WebSocket("", websocket.NewHub(nil), web.SocketMethod("wait", func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		})))
	conn, _ := dial(t, r.url("/ws"), nil)
	send(t, conn, `{"method":"wait"}`)
	if got, want := receive(t, conn), exception("DeadlineExceeded", "enoki.DeadlineExceeded", "the service did not answer in time"); !sameJSON(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSocketRequestsRefused(t *testing.T) {
	t.Parallel()
	r := run(t, web.Options{}, enoki.Options{}, chat(websocket.NewHub(nil)))
	upgrade := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"MDEyMzQ1Njc4OWFiY2RlZg=="}}
	with := func(name, value string) http.Header {
		h := upgrade.Clone()
		h.Set(name, value)
		return h
	}
	for _, test := range []struct {
		method string
		header http.Header
		status int
		detail string
	}{
		{"GET", nil, 400, "this is a WebSocket; open it with a ws:// or wss:// address"},
		{"POST", upgrade, 405, "POST is not possible here; use one of GET, HEAD, OPTIONS"},
		{"GET", with("Origin", "https://evil.example"), 403, `request Origin "evil.example" is not authorized for Host`},
		{"GET", with("Sec-WebSocket-Version", "8"), 400, "only 13 is supported"},
		{"GET", with("Sec-WebSocket-Key", "x"), 400, "invalid Sec-WebSocket-Key"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), test.method, r.url("/ws"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if test.header != nil {
			req.Header = test.header
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var problem web.Problem
		err = json.NewDecoder(res.Body).Decode(&problem)
		res.Body.Close()
		if res.StatusCode != test.status || !strings.Contains(problem.Detail, test.detail) {
			t.Errorf("%s %v: %d %q, %v", test.method, test.header, res.StatusCode, problem.Detail, err)
		}
		if version := res.Header.Get("Sec-WebSocket-Version"); (version == "13") != (test.detail == "only 13 is supported") {
			t.Errorf("%s: Sec-WebSocket-Version %q", test.detail, version)
		}
	}
}

// When the service stops, the running call is answered and every socket is
// told.
func TestSocketsAreDrained(t *testing.T) {
	t.Parallel()
	started, release := make(chan struct{}), make(chan struct{})
	hub := websocket.NewHub(nil)
	r := run(t, web.Options{Timeout: -1}, enoki.Options{Grace: time.Hour}, web.WebSocket("", hub, web.SocketMethod("work", func(ctx context.Context, _ string) (string, error) {
		close(started)
		<-release
		return "done", ctx.Err()
	})))
	idle, _ := dial(t, r.url("/ws"), nil)
	busy, _ := dial(t, r.url("/ws"), nil)
	send(t, busy, `{"method":"work"}`)
	<-started
	r.stop()
	if _, _, err := idle.Read(t.Context()); coder.CloseStatus(err) != coder.StatusGoingAway {
		t.Errorf("the idle socket: %v", err)
	}
	close(release)
	if got := receive(t, busy); !sameJSON(got, `{"type":"result","success":true,"data":"done","correlation_id":null}`) {
		t.Error(got)
	}
	if _, _, err := busy.Read(t.Context()); coder.CloseStatus(err) != coder.StatusGoingAway {
		t.Errorf("the busy socket: %v", err)
	}
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	if hub.Len() != 0 {
		t.Errorf("%d sockets left", hub.Len())
	}
}

// A call that does not end in the grace period is cancelled, and its socket
// cut off.
func TestSocketsAreCutOff(t *testing.T) {
	t.Parallel()
	started := make(chan struct{})
	ended := make(chan error, 1)
	r := run(t, web.Options{Timeout: -1}, enoki.Options{Grace: 50 * time.Millisecond}, web.WebSocket("", websocket.NewHub(nil), web.SocketMethod("work", func(ctx context.Context, _ string) error {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	})))
	conn, _ := dial(t, r.url("/ws"), nil)
	send(t, conn, `{"method":"work"}`)
	<-started
	r.stop()
	if err := <-r.done; err == nil || !strings.Contains(err.Error(), "sockets did not end in time") {
		t.Errorf("run returned %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
	for { // an answer may still come, and then the end
		if _, _, err := conn.Read(t.Context()); err != nil {
			break
		}
	}
}

func TestSocketEndIsLogged(t *testing.T) {
	t.Parallel()
	r := run(t, web.Options{}, enoki.Options{}, chat(websocket.NewHub(&websocket.Options{MaxFrame: 100})))
	conn, _ := dial(t, r.url("/ws"), nil)
	send(t, conn, strings.Repeat("x", 101))
	if _, _, err := conn.Read(t.Context()); coder.CloseStatus(err) != coder.StatusMessageTooBig {
		t.Errorf("closed with %v", err)
	}
	for _, want := range []string{"websocket ended", "message too big", "route=\"GET /ws\" status=101"} {
		eventually(t, want, func() bool { return strings.Contains(r.log.String(), want) })
	}
}

func TestSocketDescribe(t *testing.T) {
	t.Parallel()
	service := enoki.NewService("api", web.Serve(&web.Options{NoDocs: true}, web.WebSocket("", websocket.NewHub(nil),
		web.SocketMethod("subscribe", func(context.Context, string, string, int) error { return nil }, "channel", "last?"))))
	if got, want := lines(service), []string{"WS /ws", "WS /ws subscribe(channel, last?)"}; !slices.Equal(got, want) {
		t.Errorf("Describe() = %q, want %q", got, want)
	}
}

func TestSocketMistakes(t *testing.T) {
	t.Parallel()
	hub := websocket.NewHub(nil)
	good := web.SocketMethod("x", func(context.Context, string) error { return nil })
	for want, route := range map[string]web.Route{
		"route WS /ws can't be served: its hub is nil": web.WebSocket("", nil, good),
		`method "x" is there twice`:                    web.WebSocket("", hub, good, good),
		`method "x": func(context.Context) error takes no socket id; make its second argument a string`: web.WebSocket("", hub, web.SocketMethod("x", func(context.Context) error { return nil })),
		`method "x" has no function`:                    web.WebSocket("", hub, web.SocketMethod("x", nil)),
		`has 2 arguments after the context and 1 names`: web.WebSocket("", hub, web.SocketMethod("x", func(context.Context, string, int) error { return nil })),
		`argument name "socket_id" stands twice`:        web.WebSocket("", hub, web.SocketMethod("x", func(context.Context, string, string) error { return nil }, "socket_id")),
		`route WS nowhere can't be served`:              web.WebSocket("nowhere", hub, good),
	} {
		err := enoki.NewService("api", web.Serve(nil, route)).Check()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
