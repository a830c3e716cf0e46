package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/internal/testserver"
	"github.com/enoki-go/enoki/nameko"
)

// TestMessaging has a Publisher and a consume of real Nameko meet their
// likenesses: the same exchange and queues, declared by both sides.
func TestMessaging(t *testing.T) {
	for _, version := range namekos {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			python := virtualEnv(t, version)
			m := startMessaging(t, python, testserver.RabbitMQ(t).URL())
			t.Run("Go to Python", m.toPython)
			t.Run("Python to Go", m.toGo)
		})
	}
}

// messaging is a Go service and a Python one on one broker.
type messaging struct {
	client  *enoki.Client
	publish nameko.Publisher[any]
	python  <-chan string // what it got
	here    chan string   // what we got
}

func startMessaging(t *testing.T, python, url string) *messaging {
	t.Helper()
	driver, err := amqp.Dial(t.Context(), amqp.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { driver.Close() })
	m := &messaging{client: enoki.NewClient(driver, nil), python: runMessaging(t, python, url), here: make(chan string, 10)}

	orders := nameko.Exchange{Name: "orders", Type: "topic", AutoDelete: true}
	toGo := nameko.Queue{Name: "to-go", Exchange: orders, RoutingKey: "go.#", Arguments: map[string]any{"x-max-priority": 3}}
	toPython := nameko.Queue{Name: "to-python", Exchange: orders, RoutingKey: "python.#", Arguments: map[string]any{"x-message-ttl": 60_000}}
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	service := enoki.NewService("gopher",
		nameko.Publishes(orders, &m.publish, nameko.RoutingKey("python.x"), nameko.Declare(toPython), nameko.Mandatory(true)),
		nameko.Consume(toGo, m.take))
	go func() {
		ended <- enoki.Run(ctx, driver, &enoki.Options{Logger: slog.New(slog.DiscardHandler), OnReady: func() { close(ready) }}, service)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatal("the Go service did not start")
	}
	// Its first answer says that the Python service takes work.
	for deadline := time.Now().Add(4 * patience); ; {
		_, err := m.client.Call(t.Context(), "messaging", "send", []any{"ready", map[string]any{"routing_key": "go.x"}}, nil)
		if err == nil {
			<-m.here
			return m
		}
		if time.Now().After(deadline) {
			t.Fatalf("Nameko does not answer: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// runMessaging runs the Python service and returns what it says that it got.
func runMessaging(t *testing.T, python, url string) <-chan string {
	t.Helper()
	cmd := exec.Command(python, filepath.Join("python", "messaging.py"), url)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var failures bytes.Buffer
	cmd.Stderr = &failures
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	got, end := make(chan string, 100), make(chan struct{})
	go func() {
		defer close(end)
		defer func() { _, _ = io.Copy(io.Discard, out) }()
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if line, is := strings.CutPrefix(lines.Text(), "GOT "); is {
				got <- line
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-end
		_ = cmd.Wait() // killed
		if t.Failed() {
			t.Log(&failures)
		}
	})
	return got
}

func (m *messaging) take(ctx context.Context, msg nameko.Message) error {
	m.here <- fmt.Sprintf("%s %q %v %d", msg.ContentType, msg.Body, enoki.ContextData(ctx), len(enoki.CallStack(ctx)))
	return nil
}

func receive(t *testing.T, ch <-chan string) string {
	t.Helper()
	select {
	case s := <-ch:
		return s
	case <-time.After(patience):
		t.Fatal("waited in vain for a message")
		return ""
	}
}

func (m *messaging) toPython(t *testing.T) {
	ctx := enoki.WithContextData(t.Context(), "language", "de")
	for _, c := range []struct {
		payload any
		options []nameko.PublishOption
		want    string
	}{
		{map[string]any{"id": 1}, nil,
			`{"data": {"language": "de"}, "payload": "{'id': 1}", "stack": 2}`},
		{[]int{1, 2}, []nameko.PublishOption{nameko.Header("n", int64(1)), nameko.Expiration(time.Minute), nameko.Persistent(false), nameko.Priority(2)},
			`{"data": {"language": "de", "n": 1}, "payload": "[1, 2]", "stack": 2}`},
		{"pressed", []nameko.PublishOption{nameko.Compression("gzip")},
			`{"data": {"compression": "application/x-gzip", "language": "de"}, "payload": "'pressed'", "stack": 2}`},
		{"text", []nameko.PublishOption{nameko.ContentType("application/text")},
			`{"data": {"language": "de"}, "payload": "'text'", "stack": 2}`},
		{[]byte("raw\xff"), nil,
			`{"data": {"language": "de"}, "payload": "b'raw\\xff'", "stack": 2}`},
		{"again", []nameko.PublishOption{nameko.RoutingKey("requeued.x")},
			`{"data": {"language": "de"}, "payload": "{'tries': 3}", "stack": 2}`},
	} {
		if err := m.publish(ctx, c.payload, c.options...); err != nil {
			t.Errorf("publish %v: %v", c.payload, err)
			continue
		}
		if got := receive(t, m.python); got != c.want {
			t.Errorf("publish %v:\ngot  %s\nwant %s", c.payload, got, c.want)
		}
	}
	if err := m.publish(ctx, 1, nameko.RoutingKey("nobody")); enoki.CodeOf(err) != enoki.NotDelivered {
		t.Errorf("publish to nobody: got %v, want NotDelivered", err)
	}
}

func (m *messaging) toGo(t *testing.T) {
	ctx := enoki.WithContextData(t.Context(), "language", "de")
	for _, c := range []struct {
		payload any
		options map[string]any
		want    string
	}{
		{map[string]any{"id": 1}, nil, `application/json "{\"id\": 1}" map[language:de sender:python] 3`},
		{"pressed", map[string]any{"compression": "gzip", "headers": map[string]any{"n": 1}}, `application/json "\"pressed\"" map[language:de n:1 sender:python] 3`},
		{"pressed", map[string]any{"compression": "bzip2"}, `application/json "\"pressed\"" map[language:de sender:python] 3`},
		{"text", map[string]any{"content_type": "text/plain"}, `text/plain "text" map[language:de sender:python] 3`},
		{"late", map[string]any{"expiration": 60, "delivery_mode": 1, "priority": 3}, `application/json "\"late\"" map[language:de sender:python] 3`},
	} {
		options := map[string]any{"routing_key": "go.x"}
		for k, v := range c.options {
			options[k] = v
		}
		if _, err := m.client.Call(ctx, "messaging", "send", []any{c.payload, options}, nil); err != nil {
			t.Errorf("publish %v: %v", c.payload, err)
			continue
		}
		if got := receive(t, m.here); !reflect.DeepEqual(got, c.want) {
			t.Errorf("publish %v with %v:\ngot  %s\nwant %s", c.payload, c.options, got, c.want)
		}
	}
}
