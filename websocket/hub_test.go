package websocket_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"

	coder "github.com/coder/websocket"

	"github.com/enoki-go/enoki/websocket"
)

func none(context.Context, *websocket.Hub, *websocket.Call) (any, error) { return nil, nil }

func TestHubSubscriptions(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, none)
	hub, c := s.hub, s.open(t)
	for _, channel := range []string{"b", "f", "a", "e", "b", "c", "d"} {
		if err := hub.Subscribe(c.id, channel); err != nil {
			t.Fatal(err)
		}
	}
	hub.Unsubscribe(c.id, "c")
	hub.Unsubscribe(c.id, "never")
	hub.Unsubscribe("nobody", "a")
	if got := hub.Subscriptions(c.id); !slices.Equal(got, []string{"a", "b", "d", "e", "f"}) {
		t.Errorf("subscriptions %q", got)
	}
	if err := hub.Broadcast("b", "once", 1); err != nil { // and not twice
		t.Fatal(err)
	}
	if err := hub.Broadcast("c", "never", 1); err != nil {
		t.Fatal(err)
	}
	if sent, err := hub.Unicast(c.id, "last", nil); !sent || err != nil {
		t.Fatal(sent, err)
	}
	c.expect(`{"type":"event","event":"once","data":1}`)
	c.expect(`{"type":"event","event":"last","data":null}`)

	c.conn.Close(coder.StatusNormalClosure, "")
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
	if got := hub.Subscriptions(c.id); got == nil || len(got) != 0 || hub.Len() != 0 {
		t.Errorf("after the close: %q, %d sockets", got, hub.Len())
	}
	if sent, err := hub.Unicast(c.id, "late", nil); sent || err != nil {
		t.Errorf("unicast to a closed socket: %v, %v", sent, err)
	}
	if err := hub.Subscribe(c.id, "a"); err == nil || err.Error() != "ConnectionNotFound: "+c.id {
		t.Errorf("subscribing a closed socket: %v", err)
	}
}

func TestHubRefusesDataWithoutJSON(t *testing.T) {
	t.Parallel()
	hub := websocket.NewHub(nil)
	if err := hub.Broadcast("a", "news", make(chan int)); err == nil {
		t.Error("broadcast took a channel")
	}
	if _, err := hub.Unicast("a", "news", unencodable{}); err == nil {
		t.Error("unicast took what panics")
	}
}

// Events of one sender arrive in their order at every socket, while others
// subscribe, unsubscribe, come and leave.
func TestHubConcurrently(t *testing.T) {
	t.Parallel()
	const listeners, events, visitors = 8, 100, 4
	s := serve(t, nil, none)
	var readers, others sync.WaitGroup
	for range listeners {
		c := s.open(t)
		if err := s.hub.Subscribe(c.id, "room"); err != nil {
			t.Fatal(err)
		}
		readers.Go(func() {
			for i := range events {
				var event struct{ Data int }
				_, frame, err := c.conn.Read(t.Context())
				if err != nil || json.Unmarshal(frame, &event) != nil || event.Data != i {
					t.Errorf("event %d: %s, %v", i, frame, err)
					return
				}
			}
		})
	}
	for range visitors {
		others.Go(func() {
			for i := range 10 {
				conn, _, err := coder.Dial(t.Context(), s.url, nil)
				if err != nil {
					t.Error(err)
					return
				}
				_, frame, err := conn.Read(t.Context())
				var connected struct {
					Data struct {
						SocketID string `json:"socket_id"`
					}
				}
				if err != nil || json.Unmarshal(frame, &connected) != nil {
					t.Error(err)
				}
				id := connected.Data.SocketID
				for n := range 5 {
					if err := s.hub.Subscribe(id, fmt.Sprint("side", n)); err != nil {
						t.Error(err)
					}
				}
				s.hub.Unsubscribe(id, "side0")
				if i%2 == 0 {
					conn.CloseNow()
				} else {
					conn.Close(coder.StatusNormalClosure, "")
				}
			}
		})
		others.Go(func() {
			for i := range 50 {
				if err := s.hub.Broadcast(fmt.Sprint("side", i%5), "side", i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range events {
		if err := s.hub.Broadcast("room", "count", i); err != nil {
			t.Error(err)
		}
	}
	others.Wait()
	readers.Wait()
}
