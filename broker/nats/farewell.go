package nats

import (
	"context"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// drainLook is the time between two looks whether what has come is taken.
const drainLook = 10 * time.Millisecond

// silent returns a channel that is closed when the server is away, or does not
// answer for flushTimeout.
func (l *link) silent() <-chan struct{} {
	silent := make(chan struct{})
	if !l.nc.IsConnected() {
		close(silent)
		return silent
	}
	go func() {
		if l.nc.FlushTimeout(flushTimeout) != nil {
			close(silent)
		}
	}()
	return silent
}

// talking returns a context for the last words of a member to the server. It
// ends soon, and at once when the server is silent.
func (m *member) talking(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	go func() {
		select {
		case <-m.silent():
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// draining is a subscription that takes what has come for it, and no more.
type draining struct {
	sub    *natsgo.Subscription
	closed <-chan struct{} // closed with it
}

// await returns when the subscription is closed. The server says when all has
// come; one that is silent is not waited for.
func (d draining) await(silent <-chan struct{}) {
	select {
	case <-d.closed:
		return
	case <-silent:
	}
	for {
		left, _, err := d.sub.Pending()
		if err != nil || left == 0 {
			break
		}
		select {
		case <-d.closed:
			return
		case <-time.After(drainLook):
		}
	}
	_ = d.sub.Unsubscribe() // fails only when the connection is closed, and all subscriptions with it
	<-d.closed
}

func (d draining) isClosed() bool {
	select {
	case <-d.closed:
		return true
	default:
		return false
	}
}
