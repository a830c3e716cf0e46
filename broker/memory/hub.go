package memory

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// topic is what subscriptions bind to.
type topic struct{ source, event string }

// subscribed identifies the queue of a subscription. The queue of a Singleton
// has neither service nor handler. Only the queue of a Broadcast has an id.
type subscribed struct {
	topic
	service, handler, id string
}

func subscribedBy(i *broker.Instance, sub *broker.Subscription) subscribed {
	key := subscribed{topic: topic{sub.Source, sub.Event}}
	if sub.Mode != broker.Singleton {
		key.service, key.handler = i.Name, sub.Handler
	}
	if sub.Mode == broker.Broadcast {
		key.id = cmp.Or(sub.BroadcastID, i.ID)
	}
	return key
}

// directly identifies the queue of calls to one instance.
type directly struct{ service, instance string }

// hub is the broker that all its links share.
type hub struct {
	mu      sync.Mutex // guards the fields below, and all fields of queue, consumer and member
	calls   map[string]*queue
	direct  map[directly]*queue
	events  map[subscribed]*queue
	bound   map[topic][]*queue
	members map[*member]struct{}
	locks   map[string]*lock
	dead    []*dead // oldest first
	emitted uint64  // number of events
}

func newHub() *hub {
	return &hub{
		calls:   make(map[string]*queue),
		direct:  make(map[directly]*queue),
		events:  make(map[subscribed]*queue),
		bound:   make(map[topic][]*queue),
		members: make(map[*member]struct{}),
		locks:   make(map[string]*lock),
	}
}

// callsTo returns the queue of calls to a service, or to one instance of it.
func (h *hub) callsTo(service, instance string) *queue {
	if instance != "" {
		if q := h.direct[directly{service, instance}]; q != nil {
			return q
		}
		return &queue{hub: h} // nobody takes from it
	}
	q := h.calls[service]
	if q == nil {
		q = &queue{hub: h}
		h.calls[service] = q
	}
	return q
}

// check refuses a subscription that exists with other flags.
func (h *hub) check(s *broker.Service) error {
	for _, sub := range s.Subscriptions {
		q := h.events[subscribedBy(&s.Instance, &sub)]
		if q == nil {
			continue
		}
		if q.ordered != (sub.OrderBy != nil) {
			return fmt.Errorf("handler %q of event %s.%s: the subscription exists and has an order: %v, want %v; stop the instances that have it so, or rename the handler",
				sub.Handler, sub.Source, sub.Event, q.ordered, sub.OrderBy != nil)
		}
		if q.lasts != sub.Lasts() {
			return fmt.Errorf("handler %q of event %s.%s: the subscription exists and is ephemeral: %v, want %v; stop the instances that have it so, or rename the handler",
				sub.Handler, sub.Source, sub.Event, !q.lasts, !sub.Lasts())
		}
	}
	return nil
}

// eventsFor returns the queue of a subscription of i.
func (h *hub) eventsFor(i *broker.Instance, sub *broker.Subscription) *queue {
	key := subscribedBy(i, sub)
	q := h.events[key]
	if q == nil {
		q = &queue{hub: h, lasts: sub.Lasts(), ordered: sub.OrderBy != nil}
		h.events[key] = q
		h.bound[key.topic] = append(h.bound[key.topic], q)
	}
	return q
}

// forget drops the queue of an ephemeral subscription once nobody reads it.
func (h *hub) forget(i *broker.Instance, sub *broker.Subscription, q *queue) {
	if q.lasts || len(q.consumers) > 0 {
		return
	}
	key := subscribedBy(i, sub)
	if h.events[key] != q {
		return // it was forgotten before
	}
	delete(h.events, key)
	h.bound[key.topic] = slices.DeleteFunc(h.bound[key.topic], func(other *queue) bool { return other == q })
	if len(h.bound[key.topic]) == 0 {
		delete(h.bound, key.topic)
	}
}

// route puts the event w into every queue that is bound to t.
func (h *hub) route(t topic, w *work) {
	h.emitted++
	w.place = h.emitted
	for _, q := range h.bound[t] {
		own := *w // a member may have it in two queues
		q.push(&own)
	}
}

// after runs f with hub.mu held when delay is over, or at once if it is 0 or
// less. hub.mu must be held.
func (h *hub) after(delay time.Duration, f func()) {
	if delay <= 0 {
		f()
		return
	}
	time.AfterFunc(delay, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		f()
	})
}

// abandon notes that nobody waits for the reply to the call w any more.
func (h *hub) abandon(w *work) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.call.abandoned = true
	if w.call.cancel != nil && !w.message.OneWay {
		w.call.cancel()
	}
}
