package host

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/internal/testserver"
)

// TestNATSSizes looks for what the broker has made of the settings.
func TestNATSSizes(t *testing.T) {
	server := testserver.NATS(t)
	posted := enoki.NewEvent[string]("comments", "posted")
	push := enoki.NewService("push", enoki.On(posted, func(context.Context, string) error { return nil }))
	run := startWith(t, new(App), only(push), "--broker", server.URL(), "--nats-event-bytes=3MiB", "--nats-dead-bytes=2097152", "--nats-later-bytes=4MiB")
	status, page := get(t, run.log.wait(t, "ready in ")["admin"].(string)+"/readyz?verbose")
	for _, want := range []string{`enoki_room_bytes{store="ENOKI_EVENTS_comments"} 3145728`, `enoki_room_bytes{store="ENOKI_DEAD"} 2097152`, `enoki_room_bytes{store="ENOKI_LATER"} 4194304`} {
		if !strings.Contains(page, want+"\n") {
			t.Errorf("%d, no %s in\n%s", status, want, page)
		}
	}

	alone := startWith(t, new(App), only(enoki.NewService("mail", enoki.On(enoki.NewEvent[string]("orders", "paid"),
		func(context.Context, string) error { return nil }))), "--broker", server.URL(), "--nats-replicas=3")
	var err error
	select {
	case err = <-alone.done:
	case <-time.After(time.Minute):
		t.Fatal("three replicas on one server: it goes on trying")
	}
	if err == nil || !strings.Contains(err.Error(), "nats-replicas") {
		t.Errorf("three replicas on one server: got error %v, want one that names the setting", err)
	}
}

func TestSizeValue(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1024": 1024, "1MiB": 1 << 20, "3 GiB": 3 << 30, "": -1, "-1": -1, "1MB": -1, "9999999999GiB": -1} {
		var n int64
		if err := (sizeValue{&n}).parse(text); (err != nil) != (want < 0) || want >= 0 && n != want {
			t.Errorf("%q: %d, %v, want %d", text, n, err, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 1000: "1000", 1 << 20: "1MiB", 3 << 30: "3GiB", 1536 << 10: "1536KiB"} {
		if got := (sizeValue{&n}).String(); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
