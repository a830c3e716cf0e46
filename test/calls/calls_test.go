package calls

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
)

type counter struct {
	Count  func(ctx context.Context, from, to int) (iter.Seq2[int, error], error) `rpc:"count" args:"start,stop"`
	Hold   func(ctx context.Context) (iter.Seq2[int, error], error)               `rpc:"hold"`
	Brief  func(ctx context.Context) (iter.Seq2[int, error], error)               `rpc:"brief" timeout:"3s"`
	Fail   func(ctx context.Context, how string) (iter.Seq2[int, error], error)   `rpc:"fail" args:"how"`
	Name   func(ctx context.Context) (string, error)                              `rpc:"name"`
	Names  func(ctx context.Context) ([]enoki.Reply[string], error)               `rpc:"name"`
	Notify func(ctx context.Context, text string) error                           `rpc:"notify" args:"text" oneway:"true"`
	Plain  func(ctx context.Context) (int, error)                                 `rpc:"count_plain"`
}

// counting serves counter. What happens goes to its channels.
type counting struct {
	name     string
	produced atomic.Int64
	stopped  chan error // the end of a context of Hold
	notified chan string
	release  chan struct{} // lets Notify return
}

func newCounting(name string) *counting {
	return &counting{name: name, stopped: make(chan error, 10), notified: make(chan string, 10), release: make(chan struct{})}
}

func (s *counting) service() *enoki.Service {
	return enoki.NewService("counter", enoki.RPC(counter{
		Count: s.count, Hold: s.hold, Brief: s.hold, Fail: s.fail, Notify: s.notify,
		Name:  func(context.Context) (string, error) { return s.name, nil },
		Plain: func(context.Context) (int, error) { return 1, nil },
	}))
}

func (s *counting) count(_ context.Context, from, to int) (iter.Seq2[int, error], error) {
	if from > to {
		return nil, enoki.Errorf(enoki.InvalidArgument, "from %d to %d", from, to)
	}
	return func(yield func(int, error) bool) {
		for n := from; n < to; n++ {
			s.produced.Add(1)
			if !yield(n, nil) {
				s.stopped <- nil
				return
			}
		}
	}, nil
}

// hold yields one item and then waits for the end of its context.
func (s *counting) hold(ctx context.Context) (iter.Seq2[int, error], error) {
	return func(yield func(int, error) bool) {
		if yield(1, nil) {
			<-ctx.Done()
		}
		s.stopped <- ctx.Err()
	}, nil
}

func (s *counting) fail(_ context.Context, how string) (iter.Seq2[int, error], error) {
	return func(yield func(int, error) bool) {
		yield(1, nil)
		if how == "panic" {
			panic("on purpose")
		}
		if yield(0, enoki.Errorf(enoki.NotFound, "no more")) {
			yield(2, nil)
		}
	}, nil
}

func (s *counting) notify(ctx context.Context, text string) error {
	s.notified <- text
	<-s.release
	s.notified <- fmt.Sprint(ctx.Err())
	if text == "bad" {
		return enoki.Errorf(enoki.FailedPrecondition, "it was bad")
	}
	return nil
}

func TestStream(t *testing.T) {
	everyBroker(t, func(c *cluster) {
		s := newCounting("a")
		c.run(s.service())
		var client counter
		c.bind("counter", &client)
		t := c.TB.(*testing.T)
		t.Run("all", func(t *testing.T) { streamAll(t, client) })
		t.Run("refused", func(t *testing.T) {
			if seq, err := client.Count(t.Context(), 2, 1); seq != nil || !errors.Is(err, enoki.InvalidArgument) {
				t.Errorf("got a stream: %v, error %v, want none and InvalidArgument", seq != nil, err)
			}
		})
		t.Run("fails", func(t *testing.T) { streamFails(t, client) })
		t.Run("reader breaks off", func(*testing.T) { c.breaksOff(client, s) })
		t.Run("reader's context ends", func(*testing.T) { c.readerLeaves(client, s) })
		t.Run("slow reader", func(t *testing.T) { slowReader(t, client, s) })
		t.Run("plain caller", func(t *testing.T) {
			_, err := enoki.NewClient(c.link(), nil).Call(t.Context(), "counter", "count", []any{1, 2}, nil)
			if !errors.Is(err, enoki.IncorrectSignature) {
				t.Errorf("a call without a contract: got error %v, want IncorrectSignature", err)
			}
		})
	})
}

func streamAll(t *testing.T, client counter) {
	const many = 5000
	seq, err := client.Count(t.Context(), 0, many)
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	for n, err := range seq {
		if err != nil || n != next {
			t.Fatalf("got item %d and error %v, want %d", n, err, next)
		}
		next++
	}
	if next != many {
		t.Errorf("got %d items, want %d", next, many)
	}
	for _, err := range seq {
		if !errors.Is(err, enoki.Internal) {
			t.Errorf("the stream read again: got error %v, want Internal", err)
		}
	}
}

func streamFails(t *testing.T, client counter) {
	for how, code := range map[string]enoki.Code{"": enoki.NotFound, "panic": enoki.Internal} {
		seq, err := client.Fail(t.Context(), how)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for n, err := range seq {
			got = append(got, fmt.Sprint(n, " ", enoki.CodeOf(err)))
		}
		if want := []string{"1 ", "0 " + string(code)}; !slices.Equal(got, want) {
			t.Errorf("fail(%q): got items and codes %q, want %q", how, got, want)
		}
	}
}

func (c *cluster) breaksOff(client counter, s *counting) {
	seq, err := client.Hold(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	for range seq {
		break
	}
	if err := receive(c, "the iterator to end", s.stopped); !errors.Is(err, context.Canceled) {
		c.Errorf("the iterator's context has the error %v, want Canceled", err)
	}
}

func (c *cluster) readerLeaves(client counter, s *counting) {
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	seq, err := client.Hold(ctx)
	if err != nil {
		c.Fatal(err)
	}
	var last error
	for _, err := range seq {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		c.Errorf("the loop ended with %v, want Canceled", last)
	}
	receive(c, "the iterator to end", s.stopped)

	unread, cancel := context.WithCancel(c.Context())
	if _, err = client.Hold(unread); err != nil {
		c.Fatal(err)
	}
	cancel()
	receive(c, "the iterator of a stream that nobody read to end", s.stopped)
}

// slowReader shows that a server does not run ahead of its reader without
// bound.
func slowReader(t *testing.T, client counter, s *counting) {
	before := s.produced.Load()
	seq, err := client.Count(t.Context(), 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	const bound = 3*256 + 10 // a chunk in the reader's hands, one fetched, one made
	for n, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 { // give it time to run ahead
			for range 20 {
				if _, err := client.Plain(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if ahead := s.produced.Load() - before - int64(n); ahead > bound {
			t.Fatalf("at item %d the server was %d ahead, want %d at most", n, ahead, bound)
		}
		if n == 3000 {
			break
		}
	}
	<-s.stopped
}

func TestStreamDrains(t *testing.T) {
	everyBroker(t, func(c *cluster) {
		s := newCounting("a")
		p := c.run(s.service())
		var client counter
		c.bind("counter", &client)
		seq, err := client.Count(c.Context(), 0, 3000)
		if err != nil {
			c.Fatal(err)
		}
		got := 0
		for _, err := range seq {
			if err != nil {
				c.Fatalf("item %d: %v", got, err)
			}
			if got++; got == 1 {
				go p.stop()
				for { // until it takes no more calls
					ctx, cancel := context.WithTimeout(c.Context(), 50*time.Millisecond)
					_, err := client.Plain(ctx)
					cancel()
					if err != nil {
						break
					}
				}
			}
		}
		if got != 3000 {
			c.Errorf("got %d items, want 3000: stopping must let streams end", got)
		}
		receive(c, "the service to stop", p.done)
	})
}

func TestStreamOfInstanceThatDies(t *testing.T) {
	everyBroker(t, func(c *cluster) {
		p := c.run(newCounting("a").service())
		var client counter
		c.bind("counter", &client)
		seq, err := client.Brief(c.Context())
		if err != nil {
			c.Fatal(err)
		}
		var last error
		for n, err := range seq {
			if last = err; n == 1 {
				p.link.Close()
			}
		}
		if code := enoki.CodeOf(last); code != enoki.Unavailable && code != enoki.DeadlineExceeded && code != enoki.UnknownOutcome {
			c.Errorf("the stream ended with error %v (%s), want one that says that the instance is gone", last, code)
		}
	})
}

func TestEveryInstance(t *testing.T) {
	everyBroker(t, func(c *cluster) {
		var client counter
		c.bind("counter", &client)
		if replies, err := client.Names(c.Context()); !errors.Is(err, enoki.UnknownService) {
			c.Errorf("without an instance: got %v and error %v, want UnknownService", replies, err)
		}
		names := []string{"a", "b", "c"}
		var last *process
		for _, name := range names {
			last = c.run(newCounting(name).service())
		}
		want := func(names []string) {
			c.Helper()
			got := c.names(client)
			for deadline := time.Now().Add(patience); len(got) < len(names) && time.Now().Before(deadline); { // who is slow to be found is missing
				got = c.names(client)
			}
			if !slices.Equal(got, names) {
				c.Errorf("got replies of %q, want of %q", got, names)
			}
		}
		want(names)
		last.stop()
		want(names[:2])
	})
}

// names calls every instance and returns their names, sorted.
func (c *cluster) names(client counter) (names []string) {
	c.Helper()
	replies, err := client.Names(c.Context())
	if err != nil && !errors.Is(err, enoki.UnknownService) { // nobody was found in time
		c.Fatal(err)
	}
	for _, r := range replies {
		if r.Err != nil || r.Instance == "" {
			c.Errorf("got reply %+v, want one with an instance and no error", r)
		}
		names = append(names, r.Value)
	}
	slices.Sort(names)
	return names
}

func TestOneWay(t *testing.T) {
	everyBroker(t, func(c *cluster) {
		began := time.Now()
		s := newCounting("a")
		c.run(s.service())
		var client counter
		c.bind("counter", &client)
		for _, text := range []string{"good", "bad"} {
			ctx, cancel := context.WithTimeout(c.Context(), patience)
			if err := client.Notify(ctx, text); err != nil {
				c.Fatalf("one-way call: %v", err)
			}
			cancel()
			if got := receive(c, "the handler", s.notified); got != text {
				c.Errorf("the handler got %q, want %q", got, text)
			}
		}
		close(s.release)
		for range 2 {
			if got := receive(c, "the handler's end", s.notified); got != "<nil>" {
				c.Errorf("the handler's context had the error %v, want none", got)
			}
		}
		link, deadline := c.link(), time.Now().Add(patience)
		for {
			var letters []*broker.HeldLetter
			for l, err := range link.DeadLetters(c.Context(), broker.DeadLetterFilter{Since: began}) {
				if err != nil {
					c.Fatal(err)
				}
				letters = append(letters, l)
			}
			if len(letters) == 1 {
				if l := letters[0]; l.Service != "counter" || l.Handler != "notify" || l.Kind != string(enoki.FailedPrecondition) {
					c.Errorf("got the dead letter %+v, want that of counter.notify", l.DeadLetter)
				}
				return
			}
			if time.Now().After(deadline) {
				c.Fatalf("got %d dead letters, want the one of the call that failed", len(letters))
			}
			time.Sleep(20 * time.Millisecond) // nothing tells of one on every broker
		}
	})
}

// TestHops shows that the deadline and the cancellation of a caller reach the
// third service.
func TestHops(t *testing.T) {
	type hop struct {
		Go func(ctx context.Context) error `rpc:"go"`
	}
	everyBroker(t, func(c *cluster) {
		type left struct {
			time time.Duration
			end  error
		}
		began, ended := make(chan struct{}, 1), make(chan left, 1)
		c.run(enoki.NewService("third", enoki.RPC(hop{func(ctx context.Context) error {
			began <- struct{}{}
			deadline, _ := ctx.Deadline()
			remaining := time.Until(deadline)
			<-ctx.Done()
			ended <- left{remaining, ctx.Err()}
			return ctx.Err()
		}})))
		for service, next := range map[string]string{"first": "second", "second": "third"} {
			var further hop
			c.run(enoki.NewService(service, enoki.Needs(next, &further), enoki.RPC(hop{func(ctx context.Context) error { return further.Go(ctx) }})))
		}
		var client hop
		c.bind("first", &client)

		ctx, cancel := context.WithCancel(c.Context())
		failed := make(chan error, 1)
		go func() { failed <- client.Go(ctx) }()
		receive(c, "the third service", began)
		cancel()
		if err := receive(c, "the caller", failed); !errors.Is(err, context.Canceled) {
			c.Errorf("cancelled: got error %v, want Canceled", err)
		}
		if got := receive(c, "the third service's context to end", ended); !errors.Is(got.end, context.Canceled) {
			c.Errorf("the third service's context ended with %v, want Canceled", got.end)
		}

		ctx, cancel = context.WithTimeout(c.Context(), 3*time.Second)
		err := client.Go(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			c.Errorf("past the deadline: got error %v, want DeadlineExceeded", err)
		}
		receive(c, "the third service", began)
		if got := receive(c, "the third service's context to end", ended); got.time <= 0 || got.time > 3*time.Second {
			c.Errorf("the third service had %v left, want what is left of 3s", got.time)
		}
	})
}
