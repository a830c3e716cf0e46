package web_test

import (
	"net"
	"net/http"
	"testing"
	"testing/synctest"

	coder "github.com/coder/websocket"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/internal/testserver"
	"github.com/enoki-go/enoki/web"
	"github.com/enoki-go/enoki/websocket"
)

// One connection too many waits until another one is closed.
func TestMaxConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testserver.NewPipes()
		r := run(t, web.Options{Listener: p, MaxConnections: 2, IdleTimeout: -1, ReadHeaderTimeout: -1, ReadTimeout: -1}, enoki.Options{}, whoami()...)
		var idle []net.Conn
		accepted := make(chan net.Conn, 3)
		for range 3 {
			go func() {
				if c, err := p.Dial(t.Context(), "", ""); err == nil {
					accepted <- c
				}
			}()
			synctest.Wait()
		}
		for len(accepted) > 0 {
			idle = append(idle, <-accepted)
		}
		if len(idle) != 2 {
			t.Errorf("%d connections are open, want 2", len(idle))
		}
		idle[0].Close()
		synctest.Wait()
		if len(accepted) != 1 {
			t.Error("the third one was not accepted when another one had closed")
		}
		for _, c := range append(idle, <-accepted) {
			c.Close()
		}
		r.stop()
	})
}

func TestMaxSockets(t *testing.T) {
	r := run(t, web.Options{MaxSockets: 1}, enoki.Options{}, chat(websocket.NewHub(nil)))
	first, _ := dial(t, r.url("/ws"), nil)
	if _, res, err := coder.Dial(t.Context(), r.url("/ws"), nil); err == nil || res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a second socket: %v, %v", res, err)
	}
	first.CloseNow()
	eventually(t, "there is room again", func() bool {
		conn, _, err := coder.Dial(t.Context(), r.url("/ws"), nil)
		if err == nil {
			conn.CloseNow()
		}
		return err == nil
	})
}
