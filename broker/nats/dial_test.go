package nats_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/internal/testserver"
)

// startServer starts a server that package embedded would not start.
func startServer(t *testing.T, o *natsserver.Options) string {
	t.Helper()
	return newServer(t, o).Addr().String()
}

func newServer(t *testing.T, o *natsserver.Options) *natsserver.Server {
	t.Helper()
	o.Host, o.Port, o.NoLog, o.NoSigs, o.StoreDir = "127.0.0.1", natsserver.RANDOM_PORT, true, true, t.TempDir()
	server, err := natsserver.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	server.Start()
	t.Cleanup(func() { server.Shutdown(); server.WaitForShutdown() })
	return server
}

// dialError returns the error of Dial, which has to come by itself and not by
// the end of the context.
func dialError(t *testing.T, c nats.Config) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	link, err := nats.Dial(ctx, c)
	if err == nil {
		link.Close()
		t.Fatal("Dial: got no error")
	}
	if ctx.Err() != nil {
		t.Fatalf("Dial waited for the end of its context: %v", err)
	}
	return err
}

func TestDialWithoutJetStream(t *testing.T) {
	addr := startServer(t, &natsserver.Options{})
	err := dialError(t, nats.Config{URL: "nats://" + addr})
	for _, word := range []string{"-js", addr} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("got error %q, want %q in it", err, word)
		}
	}
}

func TestDialRefused(t *testing.T) {
	addr := startServer(t, &natsserver.Options{JetStream: true, Username: "u", Password: "right"})
	err := dialError(t, nats.Config{URL: "nats://u:wr0ng@" + addr})
	if !errors.Is(err, natsgo.ErrAuthorization) || !strings.Contains(err.Error(), addr) || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("got error %q, want a refusal that names %s and not the password", err, addr)
	}
	dial(t, nats.Config{URL: "nats://u:right@" + addr}).Close()
}

func TestDialBadURL(t *testing.T) {
	err := dialError(t, nats.Config{URL: "nats://u:s3cret@127.0.0.1:port"})
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the error has the password: %v", err)
	}
}

func TestDialBadConfig(t *testing.T) {
	for _, c := range []nats.Config{{Replicas: -1}, {EventBytes: 1}, {AckWait: time.Millisecond}} {
		dialError(t, c)
	}
}

func TestDialWaits(t *testing.T) {
	addr, err := net.ResolveTCPAddr("tcp", testserver.Address(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = nats.Dial(ctx, nats.Config{URL: "nats://u:s3cret@" + addr.String()})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), addr.String()) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got error %q, want the deadline, the address and no password", err)
	}

	dialed := make(chan error, 1)
	go func() {
		link, err := nats.Dial(t.Context(), nats.Config{URL: "nats://" + addr.String()})
		if err == nil {
			link.Close()
		}
		dialed <- err
	}()
	server, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Port: addr.Port, Open: true})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	if err := <-dialed; err != nil {
		t.Errorf("Dial of a server that comes later: %v", err)
	}
}

func TestJoinDenied(t *testing.T) {
	everything := &natsserver.SubjectPermission{Allow: []string{">"}}
	user := func(name, denied string) *natsserver.User {
		return &natsserver.User{Username: name, Password: "p", Permissions: &natsserver.Permissions{
			Publish:   &natsserver.SubjectPermission{Allow: []string{">"}, Deny: []string{denied}},
			Subscribe: &natsserver.SubjectPermission{Allow: []string{">"}, Deny: []string{denied}},
		}}
	}
	addr := startServer(t, &natsserver.Options{JetStream: true, Users: []*natsserver.User{
		{Username: "all", Password: "p", Permissions: &natsserver.Permissions{Publish: everything, Subscribe: everything}},
		user("calls", "enoki.rpc.svc.*"), user("consumers", "$JS.API.CONSUMER.>"), user("events", "enoki.events.>"),
	}})
	dial(t, nats.Config{URL: "nats://all:p@" + addr}).Close() // makes the streams
	for name, subject := range map[string]string{"calls": "enoki.rpc.svc.*", "consumers": "$JS.API.CONSUMER."} {
		link := dial(t, nats.Config{URL: "nats://" + name + ":p@" + addr})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := link.Join(ctx, broker.Service{
			Instance: broker.Instance{Name: "svc", ID: "1"}, Workers: 1, Serve: echo,
			Subscriptions: []broker.Subscription{{Source: "s", Event: "e", Handler: "h", Handle: done}},
		})
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), subject) {
			t.Errorf("Join without the permission for %s: got error %v, want one that names it, at once", subject, err)
		}
		cancel()
		link.Close()
	}
}

// TestDenied: what the server does not let pass fails when it says so, not at
// the end of a context.
func TestDenied(t *testing.T) {
	everything := &natsserver.SubjectPermission{Allow: []string{">"}}
	silent := &natsserver.SubjectPermission{Allow: []string{">"}, Deny: []string{"enoki.events.>", "enoki.due.>", "enoki.later.>", "enoki.rpc.>"}}
	addr := startServer(t, &natsserver.Options{JetStream: true, Users: []*natsserver.User{
		{Username: "silent", Password: "p", Permissions: &natsserver.Permissions{Publish: silent, Subscribe: everything}},
	}})
	link := open(t, nats.Config{URL: "nats://silent:p@" + addr})
	join(t, link, broker.Service{Instance: broker.Instance{Name: "svc", ID: "1"}, Workers: 1,
		Subscriptions: []broker.Subscription{{Source: "s", Event: "e", Handler: "h", Handle: done}}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for what, do := range map[string]func() error{
		"Emit":         func() error { return link.Emit(ctx, "s", "e", &broker.Message{}) },
		"Emit, later":  func() error { return link.Emit(ctx, "s", "e", &broker.Message{Due: time.Now().Add(time.Hour)}) },
		"Call":         func() error { _, err := link.Call(ctx, "s", "m", &broker.Message{ID: "1"}); return err },
		"one-way Call": func() error { _, err := link.Call(ctx, "s", "m", &broker.Message{ID: "2", OneWay: true}); return err },
	} {
		if err := do(); !errors.Is(err, broker.ErrNotDelivered) || !errors.Is(err, natsgo.ErrPermissionViolation) {
			t.Errorf("%s: got error %v, want ErrNotDelivered and the reason", what, err)
		}
	}
	if ctx.Err() != nil {
		t.Error("the minute is over")
	}
}

func TestStreamOfOthers(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	js := jetStream(t, server)
	other := jetstream.StreamConfig{Name: "ENOKI_DEAD", Subjects: []string{"other"}}
	if _, err := js.CreateStream(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if err := dialError(t, nats.Config{InProcess: server}); !strings.Contains(err.Error(), "ENOKI_DEAD") {
		t.Errorf("got error %v, want one that names the stream", err)
	}
	if err := js.DeleteStream(t.Context(), other.Name); err != nil {
		t.Fatal(err)
	}

	// What differs without harm stays as it is.
	ours := jetstream.StreamConfig{Name: other.Name, Subjects: []string{"enoki.dead.>"}, MaxBytes: 5 << 20}
	eventually(t, func() error { // its files are removed after the answer
		_, err := js.CreateStream(t.Context(), ours)
		return err
	})
	dial(t, nats.Config{InProcess: server}).Close()
	stream, err := js.Stream(t.Context(), other.Name)
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().Config; got.MaxBytes != ours.MaxBytes || got.Discard != jetstream.DiscardOld {
		t.Errorf("the stream was changed to %d bytes and %v", got.MaxBytes, got.Discard)
	}
}

// TestLittleRoom: streams take the room there is, and leave some to those of
// further sources.
func TestLittleRoom(t *testing.T) {
	const sources, store = 16, 64 << 20
	server := startEmbedded(t, embedded.Options{MaxStore: store})
	link := open(t, nats.Config{InProcess: server})
	s := handles(done)
	s.Subscriptions = nil
	for i := range sources {
		s.Subscriptions = append(s.Subscriptions, broker.Subscription{Source: fmt.Sprint("source-", i), Event: "e", Handler: "h", Handle: done})
	}
	join(t, link, s)
	var total int64
	js := jetStream(t, server)
	streams := js.ListStreams(t.Context())
	for info := range streams.Info() {
		bytes := info.Config.MaxBytes
		t.Logf("%s: %d KiB", info.Config.Name, bytes>>10)
		if bytes > store/4 {
			t.Errorf("%s got %d of %d MiB", info.Config.Name, bytes>>20, store>>20)
		}
		total += max(bytes, 0)
	}
	if err := streams.Err(); err != nil {
		t.Fatal(err)
	}
	if total > store {
		t.Errorf("the streams may hold %d bytes, the store %d", total, store)
	}
}
