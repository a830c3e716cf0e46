package amqp

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/testserver"
)

func TestAddress(t *testing.T) {
	for raw, want := range map[string]string{
		"amqp://u:secret@h:1234/v":       `user "u" "v" amqp://u:xxxxx@h:1234/v`,
		"pyamqp://guest:secret@h:5672//": `user "guest" "/" amqp://guest:xxxxx@h:5672//`,
		"amqps://h":                      `user "guest" "/" amqps://h`,
		"amqp://u:se%40cret@h/%2Fa":      `user "u" "/a" amqp://u:xxxxx@h/%2Fa`,
		"nats://u:secret@h":              `scheme is "nats", want amqp, amqps or pyamqp`,
		"amqp://u:sec ret@h":             "can't be read",
		"amqp://u:secret@h:port":         "can't be read",
		"amqp://u:secret@h?heartbeat=x":  "heartbeat",
		"":                               `scheme is ""`,
	} {
		a, err := Config{URL: raw}.address()
		got := fmt.Sprintf("%s %q %s %v", a.who, a.vhost, a.masked, err)
		if !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", raw, got, want)
		}
		if strings.Contains(got, "sec") {
			t.Errorf("%s: the password is shown: %s", raw, got)
		}
	}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func TestRefusedAtTheDoor(t *testing.T) {
	url := rabbit(t).URL()
	for what, c := range map[string]struct{ url, user, vhost string }{
		"password": {strings.Replace(url, "guest:guest", "guest:secret", 1), `"guest"`, `"/"`},
		"user":     {strings.Replace(url, "guest:guest", "nobody:secret", 1), `"nobody"`, `"/"`},
		"vhost":    {strings.Replace(url, "guest:guest", "guest:guest", 1) + "nowhere", `"guest"`, `"nowhere"`},
	} {
		var log lines
		_, err := Dial(within(t, patience), Config{URL: c.url, Logger: log.logger()})
		wantText(t, err, "refused", c.user, c.vhost)
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wrong %s: the error came at the deadline, not at once", what)
		}
		if strings.Contains(fmt.Sprint(err)+log.String(), "secret") {
			t.Errorf("the password is shown in %v or in %s", err, log.String())
		}
	}
}

// proxy is a way to a RabbitMQ that can be closed.
type proxy struct {
	t        testing.TB
	address  string
	target   string
	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
	tls      *tls.Config // of the side of the client; nil without TLS
	hole     atomic.Bool // swallows what arrives
}

func newProxy(t testing.TB, s *testserver.Server) *proxy {
	p := &proxy{t: t, address: testserver.Address(t), target: fmt.Sprintf("127.0.0.1:%d", s.Port())}
	p.open()
	t.Cleanup(p.close)
	return p
}

func (p *proxy) url() string { return "amqp://guest:guest@" + p.address + "/" }

func (p *proxy) open() {
	p.t.Helper()
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.address = l, l.Addr().String()
	if p.tls != nil {
		l = tls.NewListener(l, p.tls)
	}
	go p.serve(l)
}

func (p *proxy) serve(l net.Listener) {
	for {
		in, err := l.Accept()
		if err != nil {
			return // closed
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, in, out)
		p.mu.Unlock()
		go p.pipe(in, out)
		go p.pipe(out, in)
	}
}

func (p *proxy) pipe(from, to net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if n > 0 && !p.hole.Load() {
			_, _ = to.Write(b[:n])
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

// close cuts every connection and takes no new ones.
func (p *proxy) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listener.Close()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func TestDialWaitsForTheBroker(t *testing.T) {
	p := newProxy(t, rabbit(t))
	p.close()
	ctx, cancel := context.WithCancel(within(t, patience))
	_, err := Dial(ctx, Config{URL: p.url(), OnUnreachable: func(error) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("no broker: got %v, want Canceled", err)
	}
	wantText(t, err, p.address, "refused")

	var log lines
	result := make(chan error, 1)
	go func() {
		d, err := Dial(within(t, patience), Config{URL: p.url(), Logger: log.logger()})
		if err == nil {
			err = d.Close()
		}
		result <- err
	}()
	until(t, "the log says that it tries again", func() error {
		if strings.Count(log.String(), "trying again") < 5 {
			return errors.New(log.String())
		}
		return nil
	})
	p.open()
	if err := next(t, "Dial", result); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings of the same failure, want one:\n%s", n, log.String())
	}
}

func TestLostLinkIsLoggedAndRecovered(t *testing.T) {
	p := newProxy(t, rabbit(t))
	var log lines
	d := dial(t, Config{URL: p.url(), Logger: log.logger()})
	p.close()
	until(t, "Ready names the broker that is gone", func() error {
		err := d.Ready()
		if err == nil || !strings.Contains(err.Error(), p.address) {
			return fmt.Errorf("got %v", err)
		}
		return nil
	})
	p.open()
	until(t, "Ready is nil again", d.Ready)
	for _, want := range []string{`level=WARN msg="link lost`, `level=INFO msg="link recovered`, "link=consume", "link=publish", "xxxxx@" + p.address} {
		until(t, "the log says "+want, func() error { // Ready may be nil before
			if !strings.Contains(log.String(), want) {
				return errors.New(log.String())
			}
			return nil
		})
	}
	if strings.Contains(log.String(), "guest:guest") {
		t.Errorf("the password is in the log:\n%s", log.String())
	}
}

// A call whose link is lost is neither a plain timeout nor just unknown.
func TestCallCutOff(t *testing.T) {
	p := newProxy(t, rabbit(t))
	d, s := dial(t, Config{URL: p.url()}), newSniffer(t)
	service := name("svc")
	requests := s.bind(rpc, service+".*")
	errs := make(chan error, 1)
	go func() {
		_, err := d.Call(within(t, 3*time.Second), service, "m", text(""))
		errs <- err
	}()
	next(t, "the request", requests)
	p.close()
	err := next(t, "the call to end", errs)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, broker.ErrUnknownOutcome) {
		t.Errorf("got %v, want both DeadlineExceeded and ErrUnknownOutcome", err)
	}
}

// A reply that comes while the caller is cut off waits for it in its queue.
func TestReplyOutlivesTheLink(t *testing.T) {
	p := newProxy(t, rabbit(t))
	d, s := dial(t, Config{URL: p.url()}), newSniffer(t)
	service := name("svc")
	requests := s.bind(rpc, service+".*")
	errs := make(chan error, 1)
	go func() {
		reply, err := d.Call(within(t, patience), service, "m", text(""))
		if err == nil && string(reply.Body) != "late" {
			err = fmt.Errorf("got reply %q", reply.Body)
		}
		errs <- err
	}()
	req := next(t, "the request", requests)
	p.close()
	s.publish(rpc.name, req.ReplyTo, amqp091.Publishing{ContentType: jsonType, CorrelationId: req.CorrelationId, DeliveryMode: 2, Body: []byte("late")})
	p.open()
	if err := next(t, "the reply", errs); err != nil {
		t.Error(err)
	}
}

// A network that swallows everything says nothing; only heartbeats show it.
func TestBlackHoleIsNoticed(t *testing.T) {
	p := newProxy(t, rabbit(t))
	d := dial(t, Config{URL: p.url() + "?heartbeat=2"})
	m := join(t, d, broker.Service{Instance: broker.Instance{Name: name("svc")}, Serve: echo})
	p.hole.Store(true)
	until(t, "Ready says that the link is lost", func() error {
		if d.Ready() == nil || m.Ready() == nil {
			return errors.New("still ready")
		}
		return nil
	})
	p.hole.Store(false)
	until(t, "Ready is nil again", d.Ready)
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS() // for its certificate, which is for 127.0.0.1
	t.Cleanup(server.Close)
	p := &proxy{t: t, address: "127.0.0.1:0", target: fmt.Sprintf("127.0.0.1:%d", rabbit(t).Port()),
		tls: &tls.Config{Certificates: server.TLS.Certificates}}
	p.open()
	t.Cleanup(p.close)
	url := strings.Replace(p.url(), "amqp:", "amqps:", 1)

	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	d := dial(t, Config{URL: url, TLS: &tls.Config{RootCAs: roots}})
	if err := d.Emit(within(t, patience), name("src"), "e", text("")); err != nil {
		t.Error(err)
	}

	strict := &proxy{t: t, address: "127.0.0.1:0", target: p.target,
		tls: &tls.Config{Certificates: server.TLS.Certificates, ClientAuth: tls.RequireAnyClientCert}}
	strict.open()
	t.Cleanup(strict.close)
	shown := &tls.Config{RootCAs: roots, Certificates: server.TLS.Certificates}

	for what, c := range map[string]struct {
		config Config
		want   string
	}{
		"no certificate":       {Config{URL: strings.Replace(strict.url(), "amqp:", "amqps:", 1), TLS: &tls.Config{RootCAs: roots}}, "certificate required: check the certificate"},
		"EXTERNAL not offered": {Config{URL: url, TLS: shown, LoginMethod: "EXTERNAL"}, "rabbitmq_auth_mechanism_ssl"},
		"unknown authority":    {Config{URL: url}, "x509"},
		"wrong host":           {Config{URL: url, TLS: &tls.Config{RootCAs: roots, ServerName: "elsewhere"}}, "elsewhere"},
		"TLS to a plain port":  {Config{URL: strings.Replace(node.URL(), "amqp:", "amqps:", 1)}, "is the port one for TLS?"},
	} {
		d, err := Dial(within(t, patience), c.config)
		if err == nil {
			_ = d.Close()
		}
		if !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: got error %v, want one that says %q", what, err, c.want)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: the error came at the deadline, not at once", what)
		}
	}
}
