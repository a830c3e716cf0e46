package memory

import (
	"slices"
	"sync"

	"github.com/enoki-go/enoki/broker"
)

// topic is what subscriptions bind to.
type topic struct{ source, event string }

// stored names a queue that stays when nobody reads it. The queue of a
// Singleton subscription has neither service nor handler.
type stored struct {
	topic
	service, handler string
}

// hub is the broker that links share.
type hub struct {
	mu      sync.Mutex // guards all below, and all of queue, consumer and member
	calls   map[string]*queue
	stored  map[stored]*queue
	bound   map[topic][]*queue
	members map[*member]struct{}
	dead    []broker.DeadLetter // oldest first
}

func newHub() *hub {
	return &hub{
		calls:   make(map[string]*queue),
		stored:  make(map[stored]*queue),
		bound:   make(map[topic][]*queue),
		members: make(map[*member]struct{}),
	}
}

// callsTo returns the queue of calls to service.
func (h *hub) callsTo(service string) *queue {
	q := h.calls[service]
	if q == nil {
		q = &queue{hub: h}
		h.calls[service] = q
	}
	return q
}

// eventsFor returns the queue of a subscription of service.
func (h *hub) eventsFor(service string, sub *broker.Subscription) *queue {
	key := stored{topic: topic{sub.Source, sub.Event}}
	switch sub.Mode {
	case broker.Broadcast:
		return h.bind(key.topic)
	case broker.Pool:
		key.service, key.handler = service, sub.Handler
	}
	q := h.stored[key]
	if q == nil {
		q = h.bind(key.topic)
		h.stored[key] = q
	}
	return q
}

// bind returns a new queue that gets the events of t.
func (h *hub) bind(t topic) *queue {
	q := &queue{hub: h}
	h.bound[t] = append(h.bound[t], q)
	return q
}

// unbind ends what bind began.
func (h *hub) unbind(t topic, q *queue) {
	h.bound[t] = slices.DeleteFunc(h.bound[t], func(other *queue) bool { return other == q })
	if len(h.bound[t]) == 0 {
		delete(h.bound, t)
	}
}

// abandon says that nobody waits for the answer to the call w any more.
func (h *hub) abandon(w *work) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.call.abandoned = true
	if w.call.cancel != nil {
		w.call.cancel()
	}
}
