package found

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
)

// TestSentButNotConfirmed: an event that NATS may have stored, while its
// confirmation does not come, is of unknown outcome. It was deadline_exceeded,
// as if nothing had been stored.
func TestSentButNotConfirmed(t *testing.T) {
	deaf := newDeafProxy(t, strings.TrimPrefix(server.URL(), "nats://"))
	got := make(chan string, 1)
	posted := enoki.NewEvent[string]("unconfirmed", "posted")
	run(t, dialNATS(t, server.URL()), enoki.Options{}, enoki.NewService("unconfirmed-handler", enoki.On(posted, func(_ context.Context, s string) error {
		got <- s
		return nil
	})))
	link := dialNATS(t, "nats://"+deaf.address)
	emit := enoki.Emitter(enoki.NewClient(link, &enoki.Options{Logger: quiet}), posted)
	if err := emit(t.Context(), "before"); err != nil {
		t.Fatal(err)
	}
	<-got
	deaf.deaf.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := emit(ctx, "unheard")
	if enoki.CodeOf(err) != enoki.UnknownOutcome || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got code %s of %v, want unknown_outcome, because of the deadline", enoki.CodeOf(err), err)
	}
	select {
	case s := <-got:
		if s != "unheard" {
			t.Errorf("got event %q", s)
		}
	case <-time.After(patience):
		t.Error("the event was not stored, so this test shows nothing")
	}
}

// deafProxy stands between a client and a server. Once it is deaf, what the
// server says is lost.
type deafProxy struct {
	address string
	deaf    atomic.Bool
}

func newDeafProxy(t *testing.T, server string) *deafProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &deafProxy{address: l.Addr().String()}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(client, server)
		}
	}()
	return p
}

func (p *deafProxy) pass(client net.Conn, address string) {
	defer client.Close()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client) // until the client has gone
		server.Close()
	}()
	_, _ = io.Copy(hearing{client, &p.deaf}, server) // until one of them has gone
}

// hearing writes only while it is not deaf.
type hearing struct {
	io.Writer
	deaf *atomic.Bool
}

func (h hearing) Write(b []byte) (int, error) {
	if h.deaf.Load() {
		return len(b), nil
	}
	return h.Writer.Write(b)
}
