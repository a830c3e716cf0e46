package websocket_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	coder "github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/enoki-go/enoki/websocket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a server that listens, and what its sockets ended with.
type site struct {
	*websocket.Server
	hub    *websocket.Hub
	url    string
	client *http.Client
	ended  chan error
}

type serveFunc func(context.Context, *websocket.Hub, *websocket.Call) (any, error)

func newSite(o *websocket.Options, fn serveFunc) *site {
	s := &site{hub: websocket.NewHub(o), client: http.DefaultClient, ended: make(chan error, 100)}
	s.Server = websocket.NewServer(s.hub, func(ctx context.Context, c *websocket.Call) (any, error) {
		return fn(ctx, s.hub, c)
	})
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.ended <- s.Serve(w, r) }

// serve listens until the test ends.
func serve(t *testing.T, o *websocket.Options, fn serveFunc) *site {
	t.Helper()
	s := newSite(o, fn)
	server := httptest.NewServer(s)
	s.url = server.URL
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return s
}

// client is one socket, seen from its other end.
type client struct {
	t    testing.TB
	conn *coder.Conn
	id   string
}

// open opens a socket and reads the event that names it.
func (s *site) open(t *testing.T) *client {
	t.Helper()
	conn, _, err := coder.Dial(t.Context(), s.url, &coder.DialOptions{HTTPClient: s.client})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	t.Cleanup(func() { conn.CloseNow() })
	c := &client{t: t, conn: conn}
	var connected struct {
		Type, Event string
		Data        struct {
			SocketID string `json:"socket_id"`
		}
	}
	if err := json.Unmarshal([]byte(c.read()), &connected); err != nil || connected.Type != "event" || connected.Event != "connected" {
		t.Fatalf("first frame is %+v, %v", connected, err)
	}
	c.id = connected.Data.SocketID
	return c
}

func (c *client) send(frame string) {
	c.t.Helper()
	if err := c.conn.Write(c.t.Context(), coder.MessageText, []byte(frame)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() string {
	c.t.Helper()
	kind, frame, err := c.conn.Read(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	if kind != coder.MessageText {
		c.t.Errorf("%s arrived in a frame of type %v", frame, kind)
	}
	return string(frame)
}

// expect reads a frame and compares it as JSON.
func (c *client) expect(want string) {
	c.t.Helper()
	if got := c.read(); !sameJSON(got, want) {
		c.t.Errorf("got  %s\nwant %s", got, want)
	}
}

// closes waits for the close frame and returns its status.
func (c *client) closes() coder.StatusCode {
	c.t.Helper()
	for {
		if _, _, err := c.conn.Read(c.t.Context()); err != nil {
			return coder.CloseStatus(err)
		}
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

type unencodable struct{}

func (unencodable) MarshalJSON() ([]byte, error) { panic("no") }

// session is the service of the recorded session: sub, cast and uni use the
// hub, the others don't.
func session(_ context.Context, hub *websocket.Hub, c *websocket.Call) (any, error) {
	switch c.Method {
	case "echo":
		return c.Data, nil
	case "sub":
		err := hub.Subscribe(c.SocketID, "room")
		return hub.Subscriptions(c.SocketID), err
	case "cast":
		return "sent", hub.Broadcast("room", "news", map[string]int{"k": 1})
	case "uni":
		return hub.Unicast(c.SocketID, "direct", map[string]string{"to": "you"})
	case "boom":
		return nil, fmt.Errorf("around: %w", &websocket.Error{Type: "ValueError", Path: "builtins.ValueError", Args: []string{"wsoops"}, Value: "wsoops"})
	case "plain":
		return nil, errors.New("oops")
	case "stranger":
		return nil, hub.Subscribe("nobody", "room")
	case "chan":
		return make(chan int), nil
	case "panic":
		return unencodable{}, nil
	case "bytes":
		return json.RawMessage("\"\xff\""), nil
	}
	return nil, websocket.MethodNotFound()
}

const malformed = `{"type":"result","success":false,"error":{"exc_type":"MalformedRequest","exc_path":"nameko.exceptions.MalformedRequest","exc_args":["Invalid JSON data"],"value":"Invalid JSON data"},"correlation_id":null}`

func failed(class, path, value, correlation string, args ...string) string {
	list, _ := json.Marshal(append([]string{}, args...))
	return fmt.Sprintf(`{"type":"result","success":false,"error":{"exc_type":%q,"exc_path":%q,"exc_args":%s,"value":%q},"correlation_id":%s}`,
		class, path, list, value, correlation)
}

func TestFrames(t *testing.T) {
	t.Parallel()
	c := serve(t, nil, session).open(t)
	for _, test := range []struct {
		call   string
		answer []string
	}{
		{`{"method":"echo","data":{"x":[1,null,"ü"]},"correlation_id":"c1"}`,
			[]string{`{"type":"result","success":true,"data":{"x":[1,null,"ü"]},"correlation_id":"c1"}`}},
		{`{"method":"echo"}`, []string{`{"type":"result","success":true,"data":{},"correlation_id":null}`}},
		{`{"method":"echo","data":null,"correlation_id":null}`, []string{`{"type":"result","success":true,"data":{},"correlation_id":null}`}},
		{`{"method":"echo","data":[],"correlation_id":{"a":[1]}}`, []string{`{"type":"result","success":true,"data":{},"correlation_id":{"a":[1]}}`}},
		{`{"method":"echo","data":[1],"correlation_id":1.5}`, []string{`{"type":"result","success":true,"data":[1],"correlation_id":1.5}`}},
		{`{"method":"nope","correlation_id":"c4"}`, []string{failed("MethodNotFound", "nameko.exceptions.MethodNotFound", "", `"c4"`)}},
		{`{"method":7,"correlation_id":"c4"}`, []string{failed("MethodNotFound", "nameko.exceptions.MethodNotFound", "", `"c4"`)}},
		{`{"method":null}`, []string{failed("MethodNotFound", "nameko.exceptions.MethodNotFound", "", `null`)}},
		{`{"data":{},"correlation_id":"c5"}`, []string{malformed}},
		{`{"Method":"echo"}`, []string{malformed}},
		{`not json`, []string{malformed}},
		{`[1,2]`, []string{malformed}},
		{``, []string{malformed}},
		{`{"method":"echo","method":"boom"}`, []string{malformed}},
		{`{"method":"echo","m\u0065thod":"boom"}`, []string{malformed}},
		{`{"method":"echo","data":{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}}`, []string{malformed}},
		{`{"method":"boom","correlation_id":3}`, []string{failed("ValueError", "builtins.ValueError", "wsoops", "3", "wsoops")}},
		{`{"method":"plain"}`, []string{failed("Error", "enoki.Error", "oops", "null", "oops")}},
		{`{"method":"stranger"}`, []string{failed("ConnectionNotFound", "nameko.exceptions.ConnectionNotFound", "nobody", "null", "nobody")}},
		{`{"method":"sub","correlation_id":"c6"}`, []string{`{"type":"result","success":true,"data":["room"],"correlation_id":"c6"}`}},
		{`{"method":"cast","correlation_id":"c7"}`, []string{
			`{"type":"event","event":"news","data":{"k":1}}`,
			`{"type":"result","success":true,"data":"sent","correlation_id":"c7"}`}},
		{`{"method":"uni","correlation_id":"c8"}`, []string{
			`{"type":"event","event":"direct","data":{"to":"you"}}`,
			`{"type":"result","success":true,"data":true,"correlation_id":"c8"}`}},
		{`{"method":"bytes"}`, []string{`{"type":"result","success":true,"data":"\ufffd","correlation_id":null}`}},
	} {
		c.send(test.call)
		for _, want := range test.answer {
			c.expect(want)
		}
	}
}

// A result without JSON is an error answer, where Nameko's breaks the
// connection.
func TestUnencodableResult(t *testing.T) {
	t.Parallel()
	c := serve(t, nil, session).open(t)
	for method, reason := range map[string]string{
		"chan":  "json: unsupported type: chan int",
		"panic": "encoding a websocket_test.unencodable: panic: no",
	} {
		c.send(`{"method":"` + method + `","correlation_id":1}`)
		text := "Unserializable value: " + reason
		c.expect(failed("UnserializableValueError", "nameko.exceptions.UnserializableValueError", text, "1", text))
	}
	c.send(`{"method":"echo"}`)
	c.expect(`{"type":"result","success":true,"data":{},"correlation_id":null}`)
}

// RFC 6455, 8.1 and 5.1.
func TestBrokenFramesCloseTheSocket(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, session)
	c := s.open(t)
	c.send("{\"method\":\"echo\",\"correlation_id\":\"\xff\"}")
	if status := c.closes(); status != coder.StatusInvalidFramePayloadData {
		t.Errorf("bad UTF-8: closed with %v", status)
	}
	if err := <-s.ended; err == nil || !strings.Contains(err.Error(), "not UTF-8") {
		t.Errorf("ended with %v", err)
	}

	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	in := bufio.NewReader(conn)
	if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(res, err)
	}
	if _, err := conn.Write([]byte{0x81, 2, '{', '}'}); err != nil { // text, whole, without a mask
		t.Fatal(err)
	}
	for {
		head := make([]byte, 2)
		if _, err := io.ReadFull(in, head); err != nil {
			t.Fatal("closed without a close frame: ", err)
		}
		payload := make([]byte, head[1])
		if _, err := io.ReadFull(in, payload); err != nil {
			t.Fatal(err)
		}
		if head[0] == 0x88 { // close
			if status := int(payload[0])<<8 | int(payload[1]); status != 1002 {
				t.Errorf("closed with %d, want 1002", status)
			}
			break
		}
	}
	conn.Close()
	<-s.ended
}

func TestBinaryFrameIsRead(t *testing.T) {
	t.Parallel()
	c := serve(t, nil, session).open(t)
	if err := c.conn.Write(t.Context(), coder.MessageBinary, []byte(`{"method":"echo"}`)); err != nil {
		t.Fatal(err)
	}
	c.expect(`{"type":"result","success":true,"data":{},"correlation_id":null}`)
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	s := serve(t, &websocket.Options{Origins: []string{"https://app.example.com", "*.trusted.example"}}, session)
	res, err := http.Get(s.url)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusBadRequest || <-s.ended == nil {
		t.Errorf("a plain GET: %s", res.Status)
	}
	for origin, status := range map[string]int{
		"":                         101,
		s.url:                      101,
		"https://app.example.com":  101,
		"http://a.trusted.example": 101,
		"http://app.example.com":   403,
		"https://evil.example":     403,
		"null":                     403,
	} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		conn, res, err := coder.Dial(t.Context(), s.url, &coder.DialOptions{HTTPHeader: header})
		if res == nil {
			t.Fatal(err)
		}
		if res.StatusCode != status {
			t.Errorf("origin %q: %s, want %d", origin, res.Status, status)
		}
		if conn != nil {
			conn.CloseNow()
		}
		if err := <-s.ended; (err != nil) != (status == 403) {
			t.Errorf("origin %q: served with %v", origin, err)
		}
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, func(ctx context.Context, _ *websocket.Hub, _ *websocket.Call) (any, error) {
		return websocket.Request(ctx).URL.Query().Get("who"), nil
	})
	s.url += "?who=ann"
	c := s.open(t)
	c.send(`{"method":"x"}`)
	c.expect(`{"type":"result","success":true,"data":"ann","correlation_id":null}`)
	if websocket.Request(t.Context()) != nil {
		t.Error("a request without a socket")
	}
}

func TestFrameLimit(t *testing.T) {
	t.Parallel()
	s := serve(t, &websocket.Options{MaxFrame: 1000}, session)
	c := s.open(t)
	frame := `{"method":"echo","data":{"x":""}}`
	c.send(strings.Replace(frame, `""`, `"`+strings.Repeat("a", 1000-len(frame))+`"`, 1))
	c.read()
	c.send(strings.Replace(frame, `""`, `"`+strings.Repeat("a", 1000-len(frame)+1)+`"`, 1))
	if status := c.closes(); status != coder.StatusMessageTooBig {
		t.Errorf("closed with %v", status)
	}
	if err := <-s.ended; !errors.Is(err, coder.ErrMessageTooBig) {
		t.Errorf("ended with %v", err)
	}
	big := s.open(t) // larger than every buffer on the way, so most of it is unread
	_ = big.conn.Write(t.Context(), coder.MessageText, []byte(strings.Repeat("a", 2<<20)))
	if status := big.closes(); status != coder.StatusMessageTooBig {
		t.Errorf("closed with %v", status)
	}
	<-s.ended
}
