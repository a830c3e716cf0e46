package amqp

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// dialTap returns a tap that is attached and whose copies come by the channel.
func dialTap(t testing.TB, service string) (*Tap, <-chan Copy) {
	t.Helper()
	return dialTapAt(t, node.URL(), service)
}

func dialTapAt(t testing.TB, url, service string) (*Tap, <-chan Copy) {
	t.Helper()
	tap, err := DialTap(within(t, patience), Config{URL: url, Owner: "tap-test"}, service)
	if err != nil {
		t.Fatal(err)
	}
	if err := tap.Attach(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	copies := make(chan Copy, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tap.Run(ctx, func(c Copy) { copies <- c }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		tap.Close()
	})
	return tap, copies
}

func TestTapSeesRequestAndReply(t *testing.T) {
	d := dial(t, Config{})
	service, other := name("tapped"), name("other")
	join(t, d, broker.Service{Instance: broker.Instance{Name: service}, Serve: echo})
	join(t, d, broker.Service{Instance: broker.Instance{Name: other}, Serve: echo})
	_, copies := dialTap(t, service)

	if _, err := d.Call(within(t, patience), other, "m", text(`"other"`)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req := text(`"mine"`)
	req.Context = map[string]any{"user_id": 7}
	if _, err := d.Call(ctx, service, "m", req); err != nil {
		t.Fatal(err)
	}

	stranger := next(t, "the other service's reply", copies)
	if stranger.Method != "" || string(stranger.Message.Body) != `"other"` {
		t.Errorf("the first copy is %+v", stranger)
	}
	request, reply := next(t, "the request", copies), next(t, "the reply", copies)
	if request.Method != "m" || string(request.Message.Body) != `"mine"` || request.Message.Context["user_id"] != int64(7) {
		t.Errorf("the request is %+v with %+v", request, request.Message)
	}
	if request.Timeout <= 0 || request.Timeout > patience {
		t.Errorf("the request has %v left", request.Timeout)
	}
	if reply.Method != "" || reply.CorrelationID != request.CorrelationID || reply.ReplyTo != request.ReplyTo {
		t.Errorf("the reply %+v is not to %+v", reply, request)
	}
}

// TestTapLeavesNothing holds the tap to what it may do to a broker, on a vhost
// where nothing comes and goes but what it makes.
func TestTapLeavesNothing(t *testing.T) {
	rabbit(t)
	vhost := newVhost(t)
	d := dial(t, Config{URL: node.URL() + vhost})
	service := name("tapped")
	join(t, d, broker.Service{Instance: broker.Instance{Name: service}, Serve: echo})
	queues := "list_queues -p " + vhost + " name durable auto_delete exclusive arguments consumers"
	lists := "list_exchanges -p " + vhost + " name"
	before, exchanges := ctl(t, queues), ctl(t, lists)
	tap, _ := dialTapAt(t, node.URL()+vhost, service)
	added := slices.DeleteFunc(ctl(t, queues), func(line string) bool { return slices.Contains(before, line) })
	if len(added) != 1 {
		t.Fatalf("with the tap there are also %q", added)
	}
	for _, want := range []string{
		"enoki.tap-" + service, "false\ttrue\ttrue",
		fmt.Sprintf(`{"x-max-length",%d}`, tapMessages), `{"x-overflow","drop-head"}`, fmt.Sprintf(`{"x-max-length-bytes",%d}`, tapBytes),
	} {
		if !strings.Contains(added[0], want) {
			t.Errorf("the queue is %s, want %s in it", added[0], want)
		}
	}
	tap.Close()
	until(t, "the tap is gone", func() error {
		if now := ctl(t, queues); !slices.Equal(before, now) {
			return fmt.Errorf("queues were\n%s\nand are\n%s", before, now)
		}
		return nil
	})
	if now := ctl(t, lists); !slices.Equal(exchanges, now) {
		t.Errorf("exchanges were\n%s\nand are\n%s", exchanges, now)
	}
}

// newVhost returns the name of a vhost that is new and for "guest".
func newVhost(t testing.TB) string {
	t.Helper()
	vhost := name("vhost")
	for _, args := range [][]string{{"add_vhost", vhost}, {"set_permissions", "-p", vhost, "guest", ".*", ".*", ".*"}} {
		if _, err := node.Ctl(args...); err != nil {
			t.Fatal(err)
		}
	}
	return vhost
}

// ctl returns the lines that rabbitmqctl prints, sorted.
func ctl(t testing.TB, command string) []string {
	t.Helper()
	out, err := node.Ctl(strings.Fields(command)...)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(lines)
	return lines
}

func TestTapRefuses(t *testing.T) {
	rabbit(t)
	d := dial(t, Config{})
	service := name("tapped")
	join(t, d, broker.Service{Instance: broker.Instance{Name: service}, Serve: echo})
	for _, c := range []struct {
		service, exchange, want string
	}{
		{service: service, exchange: "no-such-exchange", want: `there is no exchange "no-such-exchange" on vhost "/"`},
		{service: "nobody", want: `there is no queue "rpc-nobody" on vhost "/"`},
	} {
		tap, err := DialTap(within(t, patience), Config{URL: node.URL(), RPCExchange: c.exchange}, c.service)
		if err == nil {
			tap.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
	if out := strings.Join(ctl(t, "list_exchanges name"), " "); strings.Contains(out, "no-such-exchange") {
		t.Errorf("the exchange was declared: %s", out)
	}
}

// TestTapEndsWithService: a tap that stays would take the requests to a
// service that is unknown from then on.
func TestTapEndsWithService(t *testing.T) {
	s := newSniffer(t)
	e := exchange{name: name("rpc"), kind: "topic"}
	s.declare(e)
	service := name("tapped")
	_, err := s.ch.QueueDeclare("rpc-"+service, true, false, false, false, nil)
	s.must(err)
	tap, err := DialTap(within(t, patience), Config{URL: node.URL(), RPCExchange: e.name}, service)
	s.must(err)
	defer tap.Close()
	s.must(tap.Attach(within(t, patience)))
	_, err = s.ch.QueueDelete("rpc-"+service, false, false, false)
	s.must(err)
	err = tap.Run(within(t, patience), func(Copy) {})
	if err == nil || !strings.Contains(err.Error(), "rpc-"+service) {
		t.Errorf("it ends with %v", err)
	}
	s.must(s.ch.ExchangeDelete(e.name, false, false))
}

func TestTapAttachesAgain(t *testing.T) {
	d := dial(t, Config{})
	service := name("tapped")
	join(t, d, broker.Service{Instance: broker.Instance{Name: service}, Serve: echo})
	_, copies := dialTap(t, service)
	closeConnection(t, "tap-test (consume)")
	until(t, "the tap sees requests again", func() error {
		if _, err := d.Call(within(t, patience), service, "m", text("1")); err != nil {
			t.Fatal(err)
		}
		select {
		case <-copies:
			return nil
		case <-time.After(100 * time.Millisecond):
			return fmt.Errorf("no copy came")
		}
	})
}

// closeConnection has the broker close the connection with this name.
func closeConnection(t testing.TB, called string) {
	t.Helper()
	until(t, "connection "+called, func() error {
		for _, line := range ctl(t, "list_connections pid client_properties") {
			pid, properties, _ := strings.Cut(line, "\t")
			if strings.Contains(properties, called) {
				_, err := node.Ctl("close_connection", pid, "test")
				return err
			}
		}
		return fmt.Errorf("it is not there")
	})
}

func TestTapSameBroker(t *testing.T) {
	d := dial(t, Config{})
	service := name("tapped")
	join(t, d, broker.Service{Instance: broker.Instance{Name: service}, Serve: echo})
	tap, _ := dialTap(t, service)
	vhost := newVhost(t)
	for url, want := range map[string]bool{
		strings.Replace(node.URL(), "127.0.0.1", "localhost", 1): true,
		node.URL() + vhost: false,
	} {
		same, err := tap.SameBroker(within(t, patience), Config{URL: url})
		if err != nil || same != want {
			t.Errorf("%s is the same broker: %v %v, want %v", url, same, err, want)
		}
	}
	if queues := strings.Join(ctl(t, "list_queues name"), " "); strings.Contains(queues, "tap-mark") {
		t.Errorf("the mark is still there: %s", queues)
	}
}

// BenchmarkTap is what a tap costs the calls that it sees: with one caller, and
// with as many as the service has workers. Compare alone with tapped.
func BenchmarkTap(b *testing.B) {
	for _, callers := range []int{1, 64} {
		for _, tapped := range []bool{false, true} {
			b.Run(fmt.Sprintf("callers=%d/tapped=%v", callers, tapped), func(b *testing.B) {
				d := dial(b, Config{})
				service := name("tapped")
				join(b, d, broker.Service{Instance: broker.Instance{Name: service}, Serve: echo, Workers: callers})
				if tapped {
					tap, err := DialTap(within(b, patience), Config{URL: node.URL(), Owner: "tap-test"}, service)
					if err != nil {
						b.Fatal(err)
					}
					defer tap.Close()
					if err := tap.Attach(within(b, patience)); err != nil {
						b.Fatal(err)
					}
					go func() { _ = tap.Run(b.Context(), func(Copy) {}) }() // ends with the tap
				}
				client := dial(b, Config{})
				b.SetParallelism(max(1, callers/runtime.GOMAXPROCS(0)))
				b.ResetTimer()
				if callers == 1 {
					for b.Loop() {
						if _, err := client.Call(within(b, patience), service, "m", text(`"x"`)); err != nil {
							b.Fatal(err)
						}
					}
					return
				}
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := client.Call(within(b, patience), service, "m", text(`"x"`)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}
