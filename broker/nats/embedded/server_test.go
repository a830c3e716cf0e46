package embedded_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/internal/testserver"
)

const patience = 30 * time.Second

// patient has a client wait for a server on a busy machine.
func patient(o *nats.Options) error { return nats.Timeout(patience)(o) }

func TestServes(t *testing.T) {
	server := start(t, embedded.Options{})
	for name, connect := range map[string]func() (*nats.Conn, error){
		"URL":           func() (*nats.Conn, error) { return nats.Connect(server.URL(), patient) },
		"InProcessConn": func() (*nats.Conn, error) { return nats.Connect(server.URL(), nats.InProcessServer(server), patient) },
	} {
		nc, err := connect()
		if err != nil {
			t.Fatalf("connect by %s: %v", name, err)
		}
		if err := nc.Flush(); err != nil {
			t.Errorf("round trip by %s: %v", name, err)
		}
		nc.Close()
	}
}

func TestKeepsWhatItHas(t *testing.T) {
	o := embedded.Options{Dir: t.TempDir(), MaxStore: 64 << 20}
	first := start(t, o)
	js := jetStream(t, first)
	// A stream that reserves nearly the whole store.
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, MaxBytes: 60 << 20}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	first.Shutdown()

	o.MaxStore = 16 << 20 // a disk that has filled meanwhile makes the limit smaller
	js = jetStream(t, start(t, o))
	stream, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatalf("the stream after a restart with a smaller limit: %v", err)
	}
	if msg, err := stream.GetMsg(t.Context(), 1); err != nil || string(msg.Data) != "kept" {
		t.Errorf("message after the restart: got %v, %v, want %q", msg, err, "kept")
	}
}

func TestStoreLimit(t *testing.T) {
	server := start(t, embedded.Options{MaxStore: 8 << 20})
	if got := server.MaxStore(); got != 8<<20 {
		t.Errorf("MaxStore: got %d, want %d", got, 8<<20)
	}
	js := jetStream(t, server)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, 1<<19)
	for range 20 { // 10 MiB
		_, err := js.Publish(t.Context(), "s", body)
		var api *jetstream.APIError
		if errors.As(err, &api) {
			return // refused, in words
		}
		if err != nil {
			t.Fatalf("publish to a full store: got %v, want an error of JetStream's API", err)
		}
	}
	t.Error("10 MiB went into a store of 8 MiB")
}

func TestDefaultLimit(t *testing.T) {
	server := start(t, embedded.Options{})
	if got := server.MaxStore(); got <= 0 || got > 4<<30 {
		t.Errorf("MaxStore: got %d, want 4 GiB or less", got)
	}
}

func TestLimitAboveFreeSpace(t *testing.T) {
	dir := t.TempDir()
	_, err := embedded.Start(embedded.Options{Dir: dir, Port: -1, MaxStore: 1 << 60})
	wantLine(t, err, dir, "free space")
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	_, err = embedded.Start(embedded.Options{Dir: t.TempDir(), Port: port})
	if !errors.Is(err, embedded.ErrPortInUse) {
		t.Errorf("got error %v, want ErrPortInUse", err)
	}
	wantLine(t, err, fmt.Sprint("127.0.0.1:", port))
}

// TestPortBeforeDirectory: a second process with the same settings hears of
// the server it can use.
func TestPortBeforeDirectory(t *testing.T) {
	address, err := net.ResolveTCPAddr("tcp", testserver.Address(t))
	if err != nil {
		t.Fatal(err)
	}
	o := embedded.Options{Dir: t.TempDir(), Port: address.Port}
	start(t, o)
	if _, err := embedded.Start(o); !errors.Is(err, embedded.ErrPortInUse) {
		t.Errorf("got error %v, want ErrPortInUse", err)
	}
}

func TestDirectoryLocked(t *testing.T) {
	dir := t.TempDir()
	first := start(t, embedded.Options{Dir: dir})
	_, err := embedded.Start(embedded.Options{Dir: dir, Port: -1})
	if !errors.Is(err, embedded.ErrLocked) {
		t.Errorf("got error %v, want ErrLocked", err)
	}
	wantLine(t, err, dir, fmt.Sprint(os.Getpid()))

	first.Shutdown()
	start(t, embedded.Options{Dir: dir}) // is free again
}

func TestUnusableDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(file, "below") // not even root can make it
	_, err := embedded.Start(embedded.Options{Dir: dir, Port: -1})
	wantLine(t, err, dir)

	_, err = embedded.Start(embedded.Options{Port: -1})
	wantLine(t, err, "Options.Dir")
}

func TestUnusableHost(t *testing.T) {
	_, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Host: "192.0.2.1", Port: 4333}) // TEST-NET, nobody's
	wantLine(t, err, "192.0.2.1:4333")
	if errors.Is(err, embedded.ErrPortInUse) {
		t.Errorf("an address that is not ours is taken for a port in use: %v", err)
	}
	dir := t.TempDir()
	_, err = embedded.Start(embedded.Options{Dir: dir, Host: "192.0.2.1", Port: -1})
	wantLine(t, err, dir)
}

func TestShutdown(t *testing.T) {
	before := goleak.IgnoreCurrent()
	server := start(t, embedded.Options{})
	nc, err := nats.Connect(server.URL(), nats.InProcessServer(server), patient)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{Durable: "C"}); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	server.Shutdown()
	server.Shutdown()
	if _, err := server.InProcessConn(); err == nil {
		t.Error("a server that was shut down makes a connection")
	}
	left := goleak.Find(before)
	for deadline := time.Now().Add(patience); left != nil && time.Now().Before(deadline); { // each look takes a while
		left = goleak.Find(before)
	}
	if left != nil {
		t.Error(left)
	}
}

// TestStartsFast looks for one fast start, because the machine may be busy.
func TestStartsFast(t *testing.T) {
	const limit = 50 * time.Millisecond
	best := time.Hour
	for deadline := time.Now().Add(patience); best > limit && time.Now().Before(deadline); {
		begin := time.Now()
		server := start(t, embedded.Options{})
		best = min(best, time.Since(begin))
		server.Shutdown()
	}
	t.Logf("from start to ready: %v", best)
	if best > limit {
		t.Errorf("from start to ready: %v at best, want less than %v", best, limit)
	}
}

// start starts a server on a free port, in a directory of its own unless o
// says otherwise.
func start(t *testing.T, o embedded.Options) *embedded.Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Port == 0 {
		o.Port = -1
	}
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	server, err := embedded.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	return server
}

func jetStream(t *testing.T, server *embedded.Server) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(server.URL(), nats.InProcessServer(server), patient)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// wantLine fails unless err is one line that has all the words.
func wantLine(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one with %q", words)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("got error %q, want %q in it", err, word)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("got error %q, want one line", err)
	}
}
