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
	Data     json.RawMessage // the arguments; an object unless the client errs, {} when it sent none
}

// ServeFunc does a call. The result is sent as JSON. An error in whose chain
// is an *Error is sent as that one, any other with its text. ctx is that of
// the request that opened the socket, and not of the socket: it does not end
// when the client leaves. A panic is not caught.
type ServeFunc func(ctx context.Context, c *Call) (result any, err error)

// Server accepts sockets for a hub and serves what they call. Its methods may
// be called concurrently.
type Server struct {
	hub     *Hub
	serve   ServeFunc
	origins []string // of pages that may open sockets
	memory  *budget.Budget
	most    int // sockets; 0 for no limit

	draining chan struct{} // closed by Shutdown
	mu       sync.Mutex    // guards stopped, and open against an Add while it is waited for
	stopped  bool
	count    int            // of sockets
	open     sync.WaitGroup // sockets
}

// NewServer returns a server. serve may be called concurrently, for
// different sockets.
func NewServer(hub *Hub, serve ServeFunc) *Server {
	return &Server{hub: hub, serve: serve, origins: hub.options.Origins, draining: make(chan struct{})}
}

// Trust lets pages of more origins open sockets here than Origins of the hub's
// options. It must be called before Serve.
func (s *Server) Trust(origins ...string) {
	s.origins = append(slices.Clip(s.origins), origins...)
}

// Serve makes a request a socket and serves it until it ends. It returns nil
// when the client has left, or Shutdown ended it; else the reason. A request
// that can't become a socket is answered in plain text: with 400 when it asks
// for none, with 403 for the page of a foreign origin, with 503 after Shutdown
// and when there are too many.
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

// Request returns the request that opened the socket whose call ctx belongs
// to, for its cookies and headers; nil elsewhere. It must not be changed.
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

// Shutdown accepts no more sockets and ends the open ones: the call that runs
// is finished and answered, those that wait are refused, and the socket is
// closed with 1001 (going away). A call that has no answer by then was not
// started. It returns an error when ctx ends first; the sockets go on ending
// then, at the latest with the context of their requests.
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
