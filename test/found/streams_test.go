package found

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/web"
)

// As many open streams as there are workers leave every worker to calls.
func TestStreamsHoldNoWorkers(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hub := memory.New()
	stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "begun")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done() // as long as the client stays
	})
	run(t, linked(t, hub.Link(), nil), enoki.Options{Workers: 2}, enoki.NewService("site",
		enoki.Method("hello", func(context.Context) (string, error) { return "hello", nil }),
		web.Serve(&web.Options{Listener: listener}, web.Handle("GET /stream", stream, web.Timeout(-1)))))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 5 {
		req, err := http.NewRequestWithContext(ctx, "GET", "http://"+listener.Addr().String()+"/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
	}
	said, err := client(t, linked(t, hub.Link(), nil)).Call(ctx, "site", "hello", nil, nil)
	if err != nil || string(said) != `"hello"` {
		t.Errorf("beside five streams: %s, %v", said, err)
	}
}
