package websocket_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"

	coder "github.com/coder/websocket"

	"github.com/enoki-go/enoki/websocket"
)

// Sockets without a service: calls go to one function. Package web has it for
// the methods of a service.
func Example() {
	hub := websocket.NewHub(nil)
	sockets := websocket.NewServer(hub, func(_ context.Context, c *websocket.Call) (any, error) {
		if c.Method != "whoami" {
			return nil, websocket.MethodNotFound()
		}
		_, err := hub.Unicast(c.SocketID, "asked", nil)
		return json.RawMessage(c.Data), err
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := sockets.Serve(w, r); err != nil {
			fmt.Println(err)
		}
	}))
	defer server.Close()

	ctx := context.Background()
	conn, _, err := coder.Dial(ctx, server.URL, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.CloseNow()
	_, _, err = conn.Read(ctx) // the event "connected"
	fmt.Println(err)
	err = conn.Write(ctx, coder.MessageText, []byte(`{"method":"whoami","data":{"name":"ann"},"correlation_id":"c1"}`))
	fmt.Println(err)
	for range 2 {
		_, frame, err := conn.Read(ctx)
		fmt.Println(string(frame), err)
	}
	go conn.Read(ctx) // answers the close frame of the server
	fmt.Println(sockets.Shutdown(ctx))
	// Output:
	// <nil>
	// <nil>
	// {"type":"event","event":"asked","data":null} <nil>
	// {"type":"result","success":true,"data":{"name":"ann"},"correlation_id":"c1"} <nil>
	// <nil>
}
