package websocket_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	coder "github.com/coder/websocket"

	"github.com/enoki-go/enoki/internal/budget"
	"github.com/enoki-go/enoki/websocket"
)

func TestCallsOfOneSocketAreServedInOrder(t *testing.T) {
	t.Parallel()
	var running atomic.Int32
	s := serve(t, nil, func(_ context.Context, _ *websocket.Hub, c *websocket.Call) (any, error) {
		if running.Add(1) > 1 {
			t.Error("two calls of one socket run at once")
		}
		defer running.Add(-1)
		return c.Data, nil
	})
	c := s.open(t)
	const calls = 200 // more than may wait
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() {
		for i := range calls {
			frame := fmt.Sprintf(`{"method":"x","correlation_id":%d}`, i)
			if err := c.conn.Write(t.Context(), coder.MessageText, []byte(frame)); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range calls {
		c.expect(fmt.Sprintf(`{"type":"result","success":true,"data":{},"correlation_id":%d}`, i))
	}
}

func TestSocketsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := serve(t, nil, func(_ context.Context, _ *websocket.Hub, c *websocket.Call) (any, error) {
		if c.Method == "wait" {
			<-release
		}
		return c.Method, nil
	})
	slow, quick := s.open(t), s.open(t)
	slow.send(`{"method":"wait"}`)
	quick.send(`{"method":"go"}`)
	quick.expect(`{"type":"result","success":true,"data":"go","correlation_id":null}`)
	close(release)
	slow.expect(`{"type":"result","success":true,"data":"wait","correlation_id":null}`)
}

// An event that finds no room closes its socket and nobody else's.
func TestSlowSocketIsClosed(t *testing.T) {
	t.Parallel()
	s := serve(t, &websocket.Options{Queue: 4, WriteTimeout: -1}, none) // so that nothing else closes it
	slow, quick := s.open(t), s.open(t)
	for _, c := range []*client{slow, quick} {
		if err := s.hub.Subscribe(c.id, "room"); err != nil {
			t.Fatal(err)
		}
	}
	large := strings.Repeat("x", 1<<20) // fills the buffers of the system too
	for {
		if err := s.hub.Broadcast("room", "big", large); err != nil {
			t.Fatal(err)
		}
		quick.read()
		select {
		case err := <-s.ended:
			if err == nil || !strings.Contains(err.Error(), "does not read") {
				t.Errorf("ended with %v", err)
			}
			if sent, err := s.hub.Unicast(slow.id, "x", nil); sent || err != nil {
				t.Errorf("unicast to the slow one: %v, %v", sent, err)
			}
			if sent, err := s.hub.Unicast(quick.id, "x", nil); !sent || err != nil {
				t.Errorf("unicast to the quick one: %v, %v", sent, err)
			}
			quick.expect(`{"type":"event","event":"x","data":null}`)
			return
		default:
		}
	}
}

// Events that wait count once for all their sockets. When there is no memory, who
// does not read is closed, and who does goes on.
func TestMemoryOfEvents(t *testing.T) {
	t.Parallel()
	s := serve(t, &websocket.Options{Queue: 1000, WriteTimeout: -1}, none)
	memory := budget.New(64 << 20)
	s.Bound(memory, 0)
	slow, quick := s.open(t), s.open(t)
	for _, c := range []*client{slow, quick} {
		if err := s.hub.Subscribe(c.id, "room"); err != nil {
			t.Fatal(err)
		}
	}
	large := strings.Repeat("x", 1<<20)
	for n := 0; s.hub.Len() == 2; n++ {
		if n > 60 {
			t.Fatalf("%d events of 1 MiB wait, and %d bytes are taken", n, memory.Used())
		}
		if err := s.hub.Broadcast("room", "big", large); err != nil {
			t.Fatal(err)
		}
		quick.read()
		select {
		case err := <-s.ended:
			if err == nil || !strings.Contains(err.Error(), "does not read") || n < 32 {
				t.Errorf("after %d events of 1 MiB it ended with %v", n, err)
			}
			eventually(t, "the memory is given back", func() bool { return memory.Used() == 0 })
			return
		case <-time.After(time.Millisecond): // a closed socket is gone soon
		}
	}
}

// A client that calls and does not read is stopped by its own results, and in
// the end by the timeout of a write.
func TestResultsWaitForRoom(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 1<<20)
	s := serve(t, &websocket.Options{Queue: 1, WriteTimeout: time.Second}, func(context.Context, *websocket.Hub, *websocket.Call) (any, error) {
		return large, nil
	})
	c := s.open(t)
	call := []byte(`{"method":"x","data":{"x":"` + large[:1<<16] + `"}}`)
	for c.conn.Write(t.Context(), coder.MessageText, call) == nil {
	}
	if err := <-s.ended; err == nil || !strings.Contains(err.Error(), "does not take") {
		t.Errorf("ended with %v", err)
	}
}

// A call is served also when its client has left: a page that closes may have
// sent it last.
func TestCallOutlivesItsSocket(t *testing.T) {
	t.Parallel()
	started, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 2)
	s := serve(t, nil, func(ctx context.Context, hub *websocket.Hub, c *websocket.Call) (any, error) {
		if c.Method == "first" {
			close(started)
			<-release
		}
		done <- ctx.Err()
		return hub.Unicast(c.SocketID, "late", nil)
	})
	c := s.open(t)
	c.send(`{"method":"first"}`)
	c.send(`{"method":"second"}`)
	<-started
	c.conn.Close(coder.StatusNormalClosure, "")
	eventually(t, "the hub forgets the socket", func() bool { return s.hub.Len() == 0 })
	close(release)
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("the context of the call ended: %v", err)
		}
	}
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	started, release := make(chan struct{}), make(chan struct{})
	s := serve(t, nil, func(ctx context.Context, hub *websocket.Hub, c *websocket.Call) (any, error) {
		close(started) // a second call would panic
		<-release
		return hub.Unicast(c.SocketID, "late", nil)
	})
	busy, idle := s.open(t), s.open(t)
	received := busy.receive()
	busy.send(`{"method":"first","correlation_id":1}`)
	<-started
	busy.send(`{"method":"second","correlation_id":2}`)
	busy.send(`not json`)
	if err := busy.conn.Ping(t.Context()); err != nil { // so both have been read
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	if status := idle.closes(); status != coder.StatusGoingAway {
		t.Errorf("the idle socket closed with %v", status)
	}
	if _, res, err := coder.Dial(t.Context(), s.url, nil); err == nil || res.StatusCode != 503 {
		t.Errorf("a new socket: %v", err)
	}
	close(release)
	const text = "the service is stopping, the call was not started"
	for _, want := range []string{
		`{"type":"event","event":"late","data":null}`,
		`{"type":"result","success":true,"data":true,"correlation_id":1}`,
		failed("Unavailable", "enoki.Unavailable", text, "2", text),
		`"closed with StatusGoingAway"`,
	} {
		if got := <-received; !sameJSON(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if s.hub.Len() != 0 {
		t.Errorf("%d sockets left", s.hub.Len())
	}
}

// receive reads all that comes, and last how the socket was closed.
func (c *client) receive() <-chan string {
	frames := make(chan string, 100)
	go func() {
		for {
			_, frame, err := c.conn.Read(c.t.Context())
			if err != nil {
				frames <- fmt.Sprintf("\"closed with %v\"", coder.CloseStatus(err))
				return
			}
			frames <- string(frame)
		}
	}()
	return frames
}

func TestShutdownGivesUp(t *testing.T) {
	t.Parallel()
	started, release := make(chan struct{}), make(chan struct{})
	s := serve(t, nil, func(context.Context, *websocket.Hub, *websocket.Call) (any, error) {
		close(started)
		<-release
		return nil, nil
	})
	c := s.open(t)
	c.send(`{"method":"x"}`)
	<-started
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "did not end in time") {
		t.Errorf("shutdown returned %v", err)
	}
	close(release)
}

// eventually polls until ok, for what gives no event to wait for.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
