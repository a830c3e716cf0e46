package found

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/internal/testserver"
)

// clusterPatience is how long a cluster of three may take on a busy machine
// until it goes on without a node, or with it again.
const clusterPatience = 3 * time.Minute

// TestRabbitMQClusterLosesNoEvent kills the node that leads the queue of the
// events, again and again while they are emitted and handled: what was confirmed
// is handled, and it goes on without the node, for a client too that sends its
// first message then. ENOKI_KILLS says how often; 1 by default.
func TestRabbitMQClusterLosesNoEvent(t *testing.T) {
	nodes := testserver.RabbitMQCluster(t, 3)
	var hosts []string
	for _, n := range nodes {
		hosts = append(hosts, strings.TrimSuffix(strings.TrimPrefix(n.URL(), "amqp://guest:guest@"), "/"))
	}
	config := amqp.Config{URL: "amqp://guest:guest@" + strings.Join(hosts, ",") + "/", QueueType: amqp.Quorum, Logger: quiet}
	link := func() *amqp.Driver {
		ctx, cancel := context.WithTimeout(t.Context(), clusterPatience)
		defer cancel()
		d, err := amqp.Dial(ctx, config)
		linked(t, d, err)
		return d
	}

	var mu sync.Mutex // guards what follows
	confirmed, handled := map[int]bool{}, map[int]int{}
	event := enoki.NewEvent[int]("cluster", "event")
	service := enoki.NewService("cluster",
		enoki.Method("hello", func(context.Context) (string, error) { return "hello", nil }),
		enoki.On(event, func(_ context.Context, n int) error {
			mu.Lock()
			defer mu.Unlock()
			handled[n]++
			return nil
		}))
	run(t, link(), enoki.Options{}, service)
	client := enoki.NewClient(link(), &enoki.Options{Logger: quiet})
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(handled)
	}
	until := func(what string, done func() bool) {
		t.Helper()
		for end := time.Now().Add(clusterPatience); !done(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("in %v it did not come to this: %s", clusterPatience, what)
			}
		}
	}

	var last, refused atomic.Int64
	emit := func(client *enoki.Client) bool {
		n := int(last.Add(1))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := enoki.Emitter(client, event)(ctx, n); err != nil {
			refused.Add(1)
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		confirmed[n] = true
		return true
	}
	call := func(client *enoki.Client) bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := client.Call(ctx, "cluster", "hello", nil, nil)
		return err == nil
	}
	stop, emitters := make(chan struct{}), sync.WaitGroup{}
	for range 4 {
		emitters.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					emit(client)
				}
			}
		})
	}
	stopEmitting := sync.OnceFunc(func() { close(stop); emitters.Wait() })
	defer stopEmitting()

	more := func() {
		t.Helper()
		seen := count()
		until("events are handled", func() bool { return count() >= seen+200 })
	}
	for range testserver.Count(t, "ENOKI_KILLS", 1) {
		more()
		leader := leaderOf(t, nodes, "evt-cluster-event--cluster.on_event")
		fresh := enoki.NewClient(link(), &enoki.Options{Logger: quiet})
		leader.Kill()
		until("a new client emits without the node", func() bool { return emit(fresh) })
		until("its calls are answered", func() bool { return call(fresh) })
		until("those of the other client are answered, too", func() bool { return call(client) })
		more()
		if err := leader.Start(); err != nil {
			t.Fatal(err)
		}
	}
	more()

	holder, other := link(), link()
	locked := func(d *amqp.Driver) bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		l, err := d.Lock(ctx, "cluster")
		return err == nil && l.Save(ctx, []byte("state")) == nil
	}
	until("a lock is held", func() bool { return locked(holder) })
	_ = holder.Close()
	leaderOf(t, nodes, "enoki.lock.cluster").Kill()
	until("another one holds it without the node", func() bool { return locked(other) })
	stopEmitting()
	missing := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for id := range confirmed {
			if handled[id] == 0 {
				n++
			}
		}
		return n
	}
	defer func() {
		t.Logf("%d events confirmed, %d refused or of unknown outcome, %d handled, %d confirmed and lost",
			len(confirmed), refused.Load(), count(), missing())
	}()
	until("every confirmed event is handled", func() bool { return missing() == 0 })
}

// leaderOf returns the node that leads a quorum queue.
func leaderOf(t *testing.T, nodes []*testserver.Server, queue string) *testserver.Server {
	t.Helper()
	out, err := nodes[0].Ctl("list_queues", "--no-table-headers", "name", "type", "leader")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != queue {
			continue
		}
		if f[1] != "quorum" {
			t.Fatalf("queue %s is %s", queue, f[1])
		}
		for _, n := range nodes {
			if f[2] == n.NodeName() {
				return n
			}
		}
	}
	t.Fatalf("nobody leads %s:\n%s", queue, out)
	return nil
}
