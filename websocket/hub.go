package websocket

import (
	"maps"
	"slices"
	"sync"

	"github.com/enoki-go/enoki/internal/budget"
)

// Hub knows the open sockets of this process and the channels that they
// subscribe to. Other processes do not share it. To reach the sockets of all
// instances of a service, emit an event and let each instance broadcast it. A
// Hub's methods may be called concurrently and never wait for a client.
type Hub struct {
	options Options

	mu       sync.RWMutex   // guards the fields below, and the channels of every socket
	memory   *budget.Budget // nil means no bound
	sockets  map[string]*socket
	channels map[string]map[*socket]struct{}
}

// NewHub returns a hub without sockets. A Server adds them. o may be nil.
func NewHub(o *Options) *Hub {
	return &Hub{
		options: o.withDefaults(),
		sockets: map[string]*socket{}, channels: map[string]map[*socket]struct{}{},
	}
}

// Subscribe lets a socket receive what is broadcast to channel. To subscribe
// again changes nothing. If the socket is not open, the error is an *Error,
// Nameko's ConnectionNotFound.
func (h *Hub) Subscribe(socketID, channel string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.sockets[socketID]
	if !ok {
		return connectionNotFound(socketID)
	}
	members, ok := h.channels[channel]
	if !ok {
		members = map[*socket]struct{}{}
		h.channels[channel] = members
	}
	members[s] = struct{}{}
	s.channels[channel] = struct{}{}
	return nil
}

// Unsubscribe undoes Subscribe. It does nothing if the socket is not open or
// does not subscribe to channel.
func (h *Hub) Unsubscribe(socketID, channel string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s, ok := h.sockets[socketID]; ok {
		delete(s.channels, channel)
		h.leave(s, channel)
	}
}

// Subscriptions returns the channels of a socket, sorted. It returns none if
// the socket is not open.
func (h *Hub) Subscriptions(socketID string) []string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	channels := []string{} // not nil, which a client would see as null
	if s, ok := h.sockets[socketID]; ok {
		channels = slices.AppendSeq(channels, maps.Keys(s.channels))
	}
	slices.Sort(channels)
	return channels
}

// Broadcast sends an event to every socket that subscribes to channel. If data
// can't be encoded as JSON, it returns an error and sends nothing.
func (h *Hub) Broadcast(channel, event string, data any) error {
	text, err := eventFrame(event, data)
	if err != nil {
		return err
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	frame := h.event(text)
	defer frame.release()
	for s := range h.channels[channel] {
		s.offer(frame)
	}
	return nil
}

// Unicast sends an event to one socket. It returns false if the socket is not
// open in this process, or was too slow and is now closed. True does not mean
// that the client has the event. If data can't be encoded as JSON, it returns
// an error.
func (h *Hub) Unicast(socketID, event string, data any) (bool, error) {
	text, err := eventFrame(event, data)
	if err != nil {
		return false, err
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	frame := h.event(text)
	defer frame.release()
	s, ok := h.sockets[socketID]
	return ok && s.offer(frame), nil
}

// Len returns how many sockets are open.
func (h *Hub) Len() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.sockets)
}

func (h *Hub) add(s *socket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sockets[s.id] = s
}

// remove forgets a socket; once it has returned, nothing more is offered.
func (h *Hub) remove(s *socket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sockets, s.id)
	for channel := range s.channels {
		h.leave(s, channel)
	}
}

// leave takes s off a channel, and the channel off the hub with the last one.
func (h *Hub) leave(s *socket, channel string) {
	members := h.channels[channel]
	delete(members, s)
	if len(members) == 0 {
		delete(h.channels, channel)
	}
}
