package amqp

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki/internal/testserver"
)

func TestHostsOfURL(t *testing.T) {
	for url, want := range map[string]struct {
		hosts         []string
		masked, vhost string
	}{
		"amqp://u:secret@a:1/shop":                       {[]string{"a:1"}, "amqp://u:xxxxx@a:1/shop", "shop"},
		"amqp://u:secret@a:1,b,[::1]:3/shop?heartbeat=5": {[]string{"a:1", "b:5672", "[::1]:3"}, "amqp://u:xxxxx@a:1,b,[::1]:3/shop?heartbeat=5", "shop"},
		"pyamqp://a:1,b:2":                               {[]string{"a:1", "b:2"}, "amqp://a:1,b:2", "/"},
		"amqps://u:secret@a,b/":                          {[]string{"a:5671", "b:5671"}, "amqps://u:xxxxx@a,b/", "/"},
		"pyamqp://u:secret@a/v;pyamqp://u:secret@b:3/v":  {[]string{"a:5672", "b:3"}, "amqp://u:xxxxx@a,b:3/v", "v"},
	} {
		a, err := Config{URL: url}.address()
		if err != nil || !slices.Equal(a.hosts, want.hosts) || a.masked != want.masked || a.vhost != want.vhost {
			t.Errorf("%s: got hosts %q, %q, vhost %q and error %v", url, a.hosts, a.masked, a.vhost, err)
		}
	}
	for url, want := range map[string]string{
		"amqp://u:secret@a,,b/":                     "has no name",
		"amqp://u:secret@a/v;amqp://u:secret@b/w":   "differs from that of a:5672 in more than the host",
		"amqp://u:secret@a/v;amqp://u:hidden@b/v":   "differs from that of a:5672 in more than the host",
		"amqp://u:secret@a:1,b:x/":                  "can't be read",
		"amqp://u:secret@a/v;http://u:secret@b/v":   `scheme is "http"`,
		"amqp://u:secret@a/v;amqp://u:secret@b/v;;": "scheme is",
	} {
		_, err := Config{URL: url}.address()
		wantText(t, err, want)
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "hidden")) {
			t.Errorf("the error shows a password: %v", err)
		}
	}
}

func TestSeveralHosts(t *testing.T) {
	live := strings.TrimPrefix(rabbit(t).URL(), "amqp://guest:guest@")
	gone, away := testserver.Address(t), testserver.Address(t)
	for range 3 { // of which each begins anywhere
		works(t, dial(t, Config{URL: "amqp://guest:guest@" + gone + "," + away + "," + live}))
	}

	_, err := Dial(within(t, patience), Config{URL: "amqp://guest:wrong@" + gone + "," + live})
	wantText(t, err, gone+": ", strings.TrimSuffix(live, "/")+": ", "refused user", "connection refused")
	if errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("got %v, want it at once and without the password", err)
	}

	_, err = Dial(within(t, 300*time.Millisecond), Config{URL: "amqp://guest:guest@" + gone + "," + away + "/"})
	wantText(t, err, gone+": ", away+": ", "connection refused")
}
