package host

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/telemetry"
)

// measured is an extension that has something to count.
type measured struct{ onStart }

func (measured) Measure(context.Context) ([]entrypoint.Gauge, error) {
	return []entrypoint.Gauge{{Name: "outbox_records", Help: "Records that wait.", Labels: map[string]string{"store": "a.db"}, Value: 3}},
		errors.New("b.db is\nlocked")
}

func TestBacklogIsShown(t *testing.T) {
	posted := enoki.NewEvent[string]("comments", "posted")
	begun, free := make(chan struct{}, 3), make(chan struct{}) // room for every event, so that no handler stays
	push := enoki.NewService("push", enoki.Subscription[string]{Event: posted, Handle: func(context.Context, string) error {
		begun <- struct{}{}
		<-free
		return nil
	}, Name: "on_posted"}, enoki.Extend(measured{func(context.Context) {}}))
	var emit enoki.Emit[string]
	comments := enoki.NewService("comments", enoki.Emits(posted, &emit))
	run := start(t, new(App), only(push, comments), "--workers=1", "--memory=32MiB")
	defer close(free)
	admin := run.log.wait(t, "ready in ")["admin"].(string)
	for range 3 {
		if err := emit(t.Context(), "hello"); err != nil {
			t.Fatal(err)
		}
	}
	<-begun
	lines := []string{
		`[=] enoki_backlog{event="posted",handler="on_posted",service="push",source="comments"} 2`,
		`[=] enoki_outbox_records{service="push",store="a.db"} 3`,
		`[=] enoki_memory_bytes 33554432`,
		`[=] enoki_memory_used_bytes 0`,
		"[?] b.db is locked",
	}
	for deadline := time.Now().Add(30 * time.Second); ; { // what was measured may be some seconds old
		status, ready := get(t, admin+"/readyz?verbose")
		_, metrics := get(t, admin+"/metrics")
		missing := ""
		for _, line := range lines {
			metric, ok := strings.CutPrefix(line, "[=] ")
			if !strings.Contains(ready, line+"\n") || ok && !strings.Contains(metrics, metric+"\n") {
				missing += line + "\n"
			}
		}
		if status == 200 && missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d, and missing are\n%sin\n%s", status, missing, ready)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// blocking is a broker that takes no messages.
type blocking struct{ broker.Broker }

func (blocking) Backlog(context.Context) (broker.Backlog, error) {
	return broker.Backlog{Blocked: "low on memory"}, nil
}

func TestBlockedBrokerIsShown(t *testing.T) {
	var r readiness
	var s survey
	metrics := telemetry.NewMetrics()
	metrics.Watch(func() []telemetry.Reading { readings, _, _ := s.read(); return readings })
	r.connected(func() error { return nil })
	r.start()
	s.connected(blocking{})
	for path, lines := range map[string][]string{
		"/readyz?verbose": {"[=] enoki_broker_blocked 1\n", "[!] the broker takes no messages: low on memory\n", "\nready\n"},
		"/metrics":        {"# TYPE enoki_broker_blocked gauge\n", "\nenoki_broker_blocked 1\n"},
	} {
		page := httptest.NewRecorder()
		adminHandler(&r, &s, metrics).ServeHTTP(page, httptest.NewRequest("GET", path, nil))
		for _, line := range lines {
			if page.Code != 200 || !strings.Contains(page.Body.String(), line) {
				t.Errorf("%s: %d, no %q in\n%s", path, page.Code, line, page.Body)
			}
		}
	}
}
