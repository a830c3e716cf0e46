package websocket

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	coder "github.com/coder/websocket"

	"github.com/enoki-go/enoki/internal/budget"
)

// Call is a call that has arrived on a socket.
type Call struct {
	SocketID string
	Method   string
	Data     json.RawMessage // the arguments: an object unless the client errs, {} if it sent none
}

// ServeFunc runs a call. Its result is sent as JSON. If the chain of its error
// has an *Error, that one is sent; any other error is sent with its text. ctx
// is that of the request that opened the socket. It does not end when the
// client leaves. A panic is not caught.
type ServeFunc func(ctx context.Context, c *Call) (result any, err error)

// Server accepts sockets for a hub and serves their calls. Its methods may be
// called concurrently.
type Server struct {
	hub     *Hub
	serve   ServeFunc
	origins []string // of pages that may open sockets
	memory  *budget.Budget
	most    int // the most sockets; 0 means no limit

	draining chan struct{} // closed by Shutdown
	mu       sync.Mutex    // guards stopped, and keeps open from growing while Shutdown waits
	stopped  bool
	count    int            // how many sockets there are
	open     sync.WaitGroup // the sockets
}

// NewServer returns a server. It calls serve concurrently for different
// sockets.
func NewServer(hub *Hub, serve ServeFunc) *Server {
	return &Server{hub: hub, serve: serve, origins: hub.options.Origins, draining: make(chan struct{})}
}

// Trust lets pages of further origins open sockets here, in addition to Origins
// of the hub's options. Call it before Serve.
func (s *Server) Trust(origins ...string) {
	s.origins = append(slices.Clip(s.origins), origins...)
}

// Serve turns a request into a socket and serves it. It blocks until the socket
// ends. It returns nil if the client has left or Shutdown has ended the socket,
// and the reason otherwise. A request that can't become a socket gets a plain
// text response: 400 if it does not ask for one, 403 for a page of a foreign
// origin, 503 after Shutdown and if there are too many sockets.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request) error {
	if err := s.enter(); err != nil {
		text := stoppingText
		if err == errCrowded {
			text = "too many sockets are open, try again later"
		}
		http.Error(w, text, http.StatusServiceUnavailable)
		return err
	}
	defer s.leave()
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		const reason = "this is a WebSocket; open it with a ws:// or wss:// address"
		http.Error(w, reason, http.StatusBadRequest)
		return refusal(reason, http.StatusBadRequest)
	}
	conn, err := coder.Accept(w, r, &coder.AcceptOptions{OriginPatterns: s.origins})
	if err != nil {
		return fmt.Errorf("websocket: %w", err)
	}
	return newSocket(s, conn).run(context.WithValue(r.Context(), requestKey{}, r))
}

type requestKey struct{}

// Request returns the request that opened the socket of the call that ctx
// belongs to, for its cookies and headers. It is nil elsewhere. The request
// must not be changed.
func Request(ctx context.Context) *http.Request {
	r, _ := ctx.Value(requestKey{}).(*http.Request)
	return r
}

func (s *Server) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped:
		return errStopped
	case s.most > 0 && s.count >= s.most:
		return errCrowded
	}
	s.count++
	s.open.Add(1)
	return nil
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count--
	s.open.Done()
}

// Shutdown accepts no more sockets and ends the open ones. The running call is
// finished and gets its result. Waiting calls are refused. Then the socket is
// closed with 1001 (going away). A call without a result was thus not started.
// If ctx ends first, Shutdown returns an error; the sockets go on ending, at
// the latest when the contexts of their requests end.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.stopped {
		s.stopped = true
		close(s.draining)
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.open.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("websocket: sockets did not end in time: %w", ctx.Err())
	}
}
