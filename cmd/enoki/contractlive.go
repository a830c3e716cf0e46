package main

import (
	"context"
	"fmt"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/cmd/enoki/contract"
)

const (
	// liveReplies is how many requests may wait for their reply; the traffic
	// of further ones is not looked at.
	liveReplies = 10_000

	// liveGrace is how long replies are waited for after the last request.
	liveGrace = time.Second

	liveProgress = 10 * time.Second // between two lines for who waits
)

// watcher notes what the calls to a service look like. It is for one
// goroutine.
type watcher struct {
	traffic  *contract.Traffic
	pending  map[pairKey]string // methods
	requests int
	limit    int           // of requests; 0 is none
	full     chan struct{} // closed when limit is reached
}

func (w *watcher) take(c amqp.Copy) {
	key := pairKey{c.CorrelationID, c.ReplyTo}
	if c.Method == "" {
		w.reply(key, readAnswer(c.Message))
		return
	}
	q := readRequest(c.Message)
	if q.text != "" || w.limit > 0 && w.requests == w.limit {
		return
	}
	w.traffic.Request(c.Method, q.args, q.kwargs)
	if len(w.pending) < liveReplies {
		w.pending[key] = c.Method
	}
	if w.requests++; w.requests == w.limit {
		close(w.full)
	}
}

func (w *watcher) reply(key pairKey, a answer) {
	method, ours := w.pending[key]
	delete(w.pending, key)
	switch {
	case !ours || !a.isReply:
	case a.failure != nil:
		w.traffic.Failure(method)
	default:
		w.traffic.Result(method, a.result)
	}
}

// watch returns the traffic of a service on the live broker, seen until the
// time is over, there were enough requests, or ctx ends.
func (c *cli) watch(ctx context.Context, o contractOptions) (*contract.Traffic, error) {
	tap, err := c.dialTap(ctx, o.live, o.exchange)
	if err != nil {
		return nil, err
	}
	defer tap.Close()
	if err := tap.Attach(ctx); err != nil {
		return nil, fmt.Errorf("tap the live broker: %w", err)
	}
	c.say("watching calls to %s for %v; Ctrl-C ends it sooner", o.live, o.period)
	w := &watcher{traffic: contract.NewTraffic(), pending: map[pairKey]string{}, limit: o.count, full: make(chan struct{})}
	if err := c.runWatcher(ctx, tap, w, o.period); err != nil {
		return nil, err
	}
	if w.requests == 0 {
		return nil, enoki.Errorf(enoki.NotFound, "nobody called %s; watch longer with --for", o.live)
	}
	return w.traffic, nil
}

func (c *cli) runWatcher(ctx context.Context, tap *amqp.Tap, w *watcher, period time.Duration) error {
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	tapped := make(chan error, 1)
	seen := make(chan int, 1)
	go func() {
		tapped <- tap.Run(reading, func(copied amqp.Copy) {
			w.take(copied)
			select {
			case <-seen: // the newest number counts
			default:
			}
			seen <- w.requests
		})
	}()
	end := time.NewTimer(period)
	defer end.Stop()
	tick := time.NewTicker(liveProgress)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			select {
			case n := <-seen:
				c.say("%d requests", n)
			default:
			}
			continue
		case <-ctx.Done():
		case <-end.C:
		case <-w.full:
		case err := <-tapped:
			return err
		}
		break
	}
	select { // for the replies to the last requests
	case <-time.After(liveGrace):
	case err := <-tapped:
		return err
	}
	stop()
	return <-tapped
}
