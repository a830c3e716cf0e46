package interop_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// visitor is a client of HTTP and WebSocket entrypoints, in one language.
type visitor interface {
	request(method, url, body string) (*page, error)
	dial(url string) (socket, error)
}

// page is the answer to a request.
type page struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
}

// socket is an open WebSocket.
type socket interface {
	read() (frame string, err error)
	write(frame string) error
	hangUp() error // by a close frame
}

// visitor returns one in the client's language.
func (x *trial) visitor() visitor {
	x.Helper()
	if x.clientLanguage == golang {
		return goVisitor{x.T}
	}
	return pythonVisitor{x.ownClient(peerSpec{}).(*pythonPeer), x}
}

// goVisitor is net/http, and the package that Go programs have for WebSockets.
type goVisitor struct{ t testing.TB }

func (v goVisitor) request(method, url, body string) (*page, error) {
	client := &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	request, err := http.NewRequestWithContext(v.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() // read to its end
	text, err := io.ReadAll(answer.Body)
	return &page{answer.StatusCode, answer.Header, string(text)}, err
}

func (v goVisitor) dial(url string) (socket, error) {
	conn, _, err := websocket.Dial(v.t.Context(), url, nil)
	if err != nil {
		return nil, err
	}
	v.t.Cleanup(func() { _ = conn.CloseNow() })
	return &goSocket{v.t, conn}, nil
}

type goSocket struct {
	t    testing.TB
	conn *websocket.Conn
}

func (s *goSocket) read() (string, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	_, frame, err := s.conn.Read(ctx)
	return string(frame), err
}

func (s *goSocket) write(frame string) error {
	return s.conn.Write(s.t.Context(), websocket.MessageText, []byte(frame))
}

func (s *goSocket) hangUp() error { return s.conn.Close(websocket.StatusNormalClosure, "") }

// pythonVisitor is requests and websocket-client.
type pythonVisitor struct {
	peer  *pythonPeer
	trial *trial
}

func (v pythonVisitor) request(method, url, body string) (*page, error) {
	var p page
	return &p, v.peer.into("request", map[string]any{"method": method, "url": url, "body": body}, &p)
}

func (v pythonVisitor) dial(url string) (socket, error) {
	s := &pythonSocket{v.peer, v.trial.name("socket")}
	_, err := v.peer.do("dial", map[string]any{"url": url, "socket": s.name})
	return s, err
}

type pythonSocket struct {
	peer *pythonPeer
	name string
}

func (s *pythonSocket) read() (frame string, err error) {
	err = s.peer.into("read", map[string]any{"socket": s.name}, &frame)
	return frame, err
}

func (s *pythonSocket) write(frame string) error {
	_, err := s.peer.do("write", map[string]any{"socket": s.name, "frame": frame})
	return err
}

func (s *pythonSocket) hangUp() error {
	_, err := s.peer.do("hang_up", map[string]any{"socket": s.name})
	return err
}
