package enoki

import (
	"context"
	"fmt"

	"github.com/enoki-go/enoki/broker"
)

// Inbox remembers what was done, so that it is done once. Package inbox has
// one in memory. Its method may be called concurrently.
type Inbox interface {
	// Once runs do, unless it has returned nil for the same key before: then
	// it returns nil at once. While do runs for the key, others with the key
	// wait, until ctx ends. When do fails, its error is Once's, and nothing is
	// remembered.
	//
	// An inbox with transactions begins one, gives it to do in its context and
	// remembers the key in it, so that what do has written there and the key
	// are stored together or not at all.
	Once(ctx context.Context, key string, do func(ctx context.Context) error) error
}

// Once has the handler run once for each message id, as far as the inbox
// remembers: an event that comes again, or was emitted again with the same id,
// is done at once. It is no option of a Broadcast, whose instances all handle
// the same event, unless each has a [BroadcastID].
func Once(inbox Inbox) SubscribeOption {
	return func(s *subscription) {
		s.inbox = inbox
		if inbox == nil {
			s.mistakes = append(s.mistakes, fmt.Errorf("Once(nil) has nothing to remember with; give it an inbox"))
		}
	}
}

// once puts the inbox, if there is one, around fn.
func (sub *subscription) once(service string) Handler {
	if sub.inbox == nil {
		return sub.fn
	}
	prefix := fmt.Sprintf("%s.%s/%s.%s/", service, sub.handler, sub.source, sub.event)
	if sub.broadcastID != "" {
		prefix += sub.broadcastID + "/"
	}
	return func(ctx context.Context, c *Call) error {
		return sub.inbox.Once(ctx, prefix+MessageID(ctx), func(ctx context.Context) error { return sub.fn(ctx, c) })
	}
}

// everyInstance tells whether all instances handle one event, under the same
// name.
func (sub *subscription) everyInstance() bool {
	return sub.mode == broker.Broadcast && sub.broadcastID == ""
}
