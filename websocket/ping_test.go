package websocket_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki/internal/testserver"
	"github.com/enoki-go/enoki/websocket"
)

// pipes are those of testserver, buffered at both ends.
type pipes struct{ *testserver.Pipes }

func (p pipes) Accept() (net.Conn, error) {
	conn, err := p.Pipes.Accept()
	if err != nil {
		return nil, err
	}
	return buffer(conn), nil
}

func (p pipes) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := p.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return buffer(conn), nil
}

// buffered is a pipe whose writes don't wait for the reader, as those of a
// connection of the system don't.
type buffered struct {
	net.Conn
	queue chan []byte
	close sync.Once
	done  chan struct{}
}

func buffer(conn net.Conn) *buffered {
	c := &buffered{Conn: conn, queue: make(chan []byte, 100), done: make(chan struct{})}
	go c.send()
	return c
}

func (c *buffered) Write(p []byte) (int, error) {
	select {
	case c.queue <- bytes.Clone(p):
		return len(p), nil
	case <-c.done:
		return 0, net.ErrClosed
	}
}

func (c *buffered) send() {
	for {
		select {
		case p := <-c.queue:
			if _, err := c.Conn.Write(p); err != nil {
				return
			}
		case <-c.done:
			return
		}
	}
}

func (c *buffered) Close() error {
	c.close.Do(func() { close(c.done) })
	return c.Conn.Close()
}

// serveInMemory is serve for a test in a bubble of synctest.
func serveInMemory(t *testing.T, o *websocket.Options, fn serveFunc) *site {
	t.Helper()
	s, listener := newSite(o, fn), pipes{testserver.NewPipes()}
	s.url = "http://pipes"
	transport := &http.Transport{DialContext: listener.dial}
	s.client = &http.Client{Transport: transport}
	server := &http.Server{Handler: s}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		server.Close()
		transport.CloseIdleConnections()
		<-done
	})
	return s
}

func TestSilentClientIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serveInMemory(t, nil, none)
		start := time.Now()
		s.open(t) // and never reads again, so it answers no ping
		if err := <-s.ended; err == nil || !strings.Contains(err.Error(), "ping") {
			t.Errorf("ended with %v", err)
		}
		if took := time.Since(start); took != 2*time.Minute { // 30 s to the ping, 90 s for its pong
			t.Errorf("closed after %v", took)
		}
	})
}

// A client whose system takes nothing more fails the ping itself.
func TestStuckClientIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serveInMemory(t, nil, none)
		c := s.open(t)
		for i := range 150 { // of which 100 fit what stands for the system's buffers
			if sent, err := s.hub.Unicast(c.id, "news", i); !sent || err != nil {
				t.Fatal(sent, err)
			}
		}
		if err := <-s.ended; err == nil || !strings.Contains(err.Error(), "does not take") {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestClientThatAnswersPingsStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serveInMemory(t, nil, none)
		c := s.open(t)
		frames := c.receive()
		time.Sleep(24 * time.Hour)
		if sent, err := s.hub.Unicast(c.id, "news", nil); !sent || err != nil {
			t.Error(sent, err)
		}
		if got := <-frames; !sameJSON(got, `{"type":"event","event":"news","data":null}`) {
			t.Error(got)
		}
	})
}

// When so many calls wait that the socket is not read, a pong can't be seen
// and its absence is not the client's.
func TestNoPongCountsWhileCallsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serveInMemory(t, &websocket.Options{Waiting: 1}, func(context.Context, *websocket.Hub, *websocket.Call) (any, error) {
			time.Sleep(10 * time.Minute)
			return nil, nil
		})
		c := s.open(t)
		frames := c.receive()
		var sending sync.WaitGroup
		defer sending.Wait()
		sending.Go(func() {
			for range 4 {
				c.send(`{"method":"x"}`)
			}
		})
		for range 4 {
			if got := <-frames; !sameJSON(got, `{"type":"result","success":true,"data":null,"correlation_id":null}`) {
				t.Error(got)
			}
		}
	})
}

func TestPingsCanBeTurnedOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serveInMemory(t, &websocket.Options{PingInterval: -1}, none)
		s.open(t)
		time.Sleep(24 * time.Hour)
		select {
		case err := <-s.ended:
			t.Errorf("ended with %v", err)
		default:
		}
	})
}
