package host

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/internal/brokerdir"
)

var silent = slog.New(slog.DiscardHandler)

func TestDialChoosesByScheme(t *testing.T) {
	for _, url := range []string{"memory:", "MEMORY:", "embedded:?port=0", "embedded://?port=0"} {
		b, err := (&Dialer{Logger: silent, StoreDir: t.TempDir()}).Dial(t.Context(), url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if err := b.Ready(); err != nil {
			t.Errorf("%s is not ready: %v", url, err)
		}
		for range 2 {
			if err := b.Close(); err != nil {
				t.Errorf("%s: close: %v", url, err)
			}
		}
	}
}

func TestDialRefuses(t *testing.T) {
	for url, want := range map[string]string{
		"kafka://u:hush@h":                `no driver for the broker scheme "kafka"; have nats, tls, ws, wss, amqp, amqps, pyamqp, embedded, memory`,
		"localhost":                       "has no scheme",
		"embedded://host":                 "the URL of the embedded broker is",
		"embedded:dir":                    "the URL of the embedded broker is",
		"embedded:?size=1":                `unknown parameter "size"; have dir, port`,
		"embedded:?port=70000":            `port "70000" is no port`,
		"amqp://u:hush@[::1":              "the broker's URL can't be read; write",
		"nats://a,nats://u:hush@h:noport": "the broker's URL can't be read; write",
		"amqp://u:hush/x@h":               "the broker's URL can't be read; write",
		"amqp://u:hush%@h":                "the broker's URL can't be read; write",
		"amqp:h":                          "the broker's URL names no host",
		"nats:h:4222":                     "the broker's URL names no host",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nothing here needs to wait
		_, err := Dial(ctx, url, silent)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}

func TestClosingTheBrokerFreesItsDirectory(t *testing.T) {
	d := &Dialer{Logger: silent, StoreDir: t.TempDir()}
	for range 2 {
		b, err := d.Dial(t.Context(), "embedded:?port=0")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Dial(t.Context(), "embedded:?port=0"); !errors.Is(err, embedded.ErrLocked) || !strings.Contains(err.Error(), d.StoreDir) {
			t.Errorf("a second broker in one directory: %v", err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEmbeddedPortInUseIsAnError(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	_, err = (&Dialer{Logger: silent, StoreDir: t.TempDir()}).Dial(t.Context(), "embedded:?port="+port)
	if !errors.Is(err, embedded.ErrPortInUse) || !strings.Contains(err.Error(), port) {
		t.Error(err)
	}
}

func TestNoURLStartsABrokerOrFindsOne(t *testing.T) {
	d := &Dialer{Logger: silent, StoreDir: t.TempDir()}
	first, err := d.Dial(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := d.Dial(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, owns := first.(*embeddedBroker); !owns {
		t.Errorf("the first is %T", first)
	}
	if _, owns := second.(*embeddedBroker); owns {
		t.Errorf("the second has started a broker too")
	}
}

// TestOtherProject: two projects have nothing of each other, and each finds its
// own broker again at the same address.
func TestOtherProject(t *testing.T) {
	one, other := &Dialer{Logger: silent, StoreDir: t.TempDir()}, &Dialer{Logger: silent, StoreDir: t.TempDir()}
	urls := map[string]bool{}
	for range 2 {
		for _, d := range []*Dialer{one, other} {
			b, err := d.Dial(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if _, owns := b.(*embeddedBroker); !owns {
				t.Errorf("it is %T", b)
			}
			urls[brokerdir.URL(d.StoreDir)] = true
			if d == other {
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
		one = &Dialer{Logger: silent, StoreDir: t.TempDir()}
	}
	if len(urls) != 3 { // two of one, the same of other twice
		t.Errorf("the brokers were at %v", urls)
	}
}

// TestNoURLWithTheDirectoryLocked: somebody has the directory and no broker.
func TestNoURLWithTheDirectoryLocked(t *testing.T) {
	dir := t.TempDir()
	lock, err := brokerdir.Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	_, err = (&Dialer{Logger: silent, StoreDir: dir, race: 100 * time.Millisecond}).Dial(t.Context(), "")
	if !errors.Is(err, embedded.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Error(err)
	}
}

func TestURLsThatCanBe(t *testing.T) {
	for url, want := range map[string]string{
		"":                                  "",
		"nats://a:4222,b:4222, nats://c":    "nats",
		"tls://u:p@a":                       "tls",
		"wss://u:p@a:443":                   "wss",
		"AMQP://guest:guest@localhost/":     "amqp",
		"pyamqp://u:p%2F%40@h:5672/%2Fshop": "pyamqp",
		"amqps://h?heartbeat=5":             "amqps",
		"amqp://u:p@a:5672,b:5673/v":        "amqp",
		"pyamqp://u:p@a/v;pyamqp://u:p@b/v": "pyamqp",
		"memory:":                           "memory",
		"embedded:":                         "embedded",
	} {
		if got, err := checkURL(url); got != want || err != nil {
			t.Errorf("%q is of scheme %q, %v", url, got, err)
		}
	}
}
