package telemetry

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func TestMetrics(t *testing.T) {
	m := NewMetrics()
	handled := m.Handling("push", "push", "rpc")
	m.Calling("register", "check", "rpc")("not_found")
	m.Buried("push", "on_posted")
	m.Breaker("mail", "send", 1)
	m.Retried("mail", "send")
	m.WatchReady(func() bool { return true })
	m.Watch(func() []Reading {
		return []Reading{
			{"room_bytes", "Bytes left.", map[string]string{"store": "S"}, 1.5e9},
			{"backlog", "Events that wait.", map[string]string{"service": "push", "handler": "on_\"posted"}, 7},
			{"backlog", "Events that wait.", map[string]string{"service": "push", "handler": "on_\"posted"}, 8},
		}
	})

	if got := m.handled.running.gauge(label{"service", "push"}).Get(); got != 1 {
		t.Errorf("%v handlers run, want 1", got)
	}
	handled(OK)

	page := httptest.NewRecorder()
	m.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`enoki_handled_total{code="ok",kind="rpc",method="push",service="push"} 1`,
		`enoki_handle_seconds_bucket{kind="rpc",method="push",service="push",le="0.001"}`,
		`enoki_handle_seconds_bucket{kind="rpc",method="push",service="push",le="30"} 1`,
		`enoki_handling{service="push"} 0`,
		`enoki_called_total{code="not_found",kind="rpc",method="check",service="register"} 1`,
		`enoki_call_seconds_count{kind="rpc",method="check",service="register"} 1`,
		`enoki_calling{service="register"} 0`,
		`enoki_breaker_open{method="send",service="mail"} 1`,
		`enoki_retries_total{method="send",service="mail"} 1`,
		`enoki_dead_letters_total{handler="on_posted",service="push"} 1`,
		"enoki_ready 1",
		"# HELP enoki_backlog Events that wait.\n# TYPE enoki_backlog gauge\nenoki_backlog{handler=\"on_\\\"posted\",service=\"push\"} 7\n# HELP enoki_room_bytes ",
		`enoki_room_bytes{store="S"} 1500000000`,
		"go_goroutines ",
		"process_start_time_seconds ",
	} {
		if !strings.Contains(page.Body.String(), want) {
			t.Errorf("no %s in\n%s", want, page.Body)
		}
	}
}

func TestMetricsHaveGoodNames(t *testing.T) {
	m := NewMetrics()
	m.Handling("s", "m", "rpc")(OK)
	m.Calling("s", "m", "rpc")(OK)
	m.Buried("s", "h")
	m.Breaker("s", "m", 1)
	m.Retried("s", "m")
	m.WatchReady(func() bool { return false })
	m.Watch(func() []Reading { return []Reading{{"backlog", "Events that wait.", nil, 1}} })
	m.Calling("a\"\\\n\xff", "{}", "rpc")(OK) // must not break the page
	var page bytes.Buffer
	m.write(&page)
	problems, err := promlint.New(&page).Lint()
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

func TestUnknownNamesDoNotGrowTheMetrics(t *testing.T) {
	m := NewMetrics()
	for i := range 3 * maxNames {
		m.Calling("s", fmt.Sprint("made-up-", i), "rpc")(OK)
	}
	if got := len(m.called.total.set.ListMetricNames()); got != maxNames+1 {
		t.Errorf("%d series, want %d", got, maxNames+1)
	}
	other := m.called.total.counter(label{"code", OK}, label{"kind", "rpc"}, label{"method", "other"}, label{"service", "other"})
	if got := other.Get(); got != 2*maxNames {
		t.Errorf("%v counted as other, want %d", got, 2*maxNames)
	}
}
