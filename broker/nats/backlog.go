package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker"
)

// Backlog implements broker.Broker.
func (d *Driver) Backlog(ctx context.Context) (broker.Backlog, error) {
	var out broker.Backlog
	if err := d.usable(ctx); err != nil {
		return out, err
	}
	sources := d.sources()
	streams := map[string]bool{deadStream: true, laterStream: true}
	for source := range sources {
		streams[d.streams.nameOf(source)] = true
	}
	if d.streams.isParting() {
		streams[sharedStream] = true
	}
	for _, name := range slices.Sorted(maps.Keys(streams)) {
		err := d.measure(ctx, name, sources, &out)
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) { // which is being made again, or not yet
			return out, fmt.Errorf("nats: backlog of stream %s: %w", name, d.readError(err))
		}
	}
	return out, nil
}

// sources are those of the events that this link emits or subscribes to.
func (d *Driver) sources() map[string]bool {
	all := make(map[string]bool)
	d.emitted.Range(func(source, _ any) bool {
		all[source.(string)] = true
		return true
	})
	for _, m := range d.joined() {
		for _, sub := range m.service.Subscriptions {
			all[sub.Source] = true
		}
	}
	return all
}

// measure adds to out how full a stream is and what waits in it.
func (d *Driver) measure(ctx context.Context, name string, sources map[string]bool, out *broker.Backlog) error {
	stream, err := d.js.Stream(ctx, name)
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	out.Stores = append(out.Stores, broker.Store{
		Name: name, Used: int64(info.State.Bytes), Limit: d.streams.roomOf(info.Config),
	})
	if name == deadStream || name == laterStream {
		return nil
	}
	held, err := d.holders(ctx, stream)
	for _, h := range held {
		if sources[h.Source] {
			out.Add(h.Waiting)
		}
	}
	return err
}

// holder is a subscription that keeps events in a stream.
type holder struct {
	broker.Waiting
	present bool // an instance asks for events
}

// holders returns the subscriptions of a stream of events.
func (d *Driver) holders(ctx context.Context, stream jetstream.Stream) ([]holder, error) {
	var all []holder
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		w, ours := subscriptionOf(info.Name)
		if !ours {
			w.Handler = info.Name // somebody else's holds events back as well
		}
		w.Events = info.NumPending + uint64(info.NumAckPending)
		all = append(all, holder{Waiting: w, present: info.NumWaiting > 0})
	}
	return all, list.Err()
}

// subscriptionOf reads what consumerName has written.
func subscriptionOf(consumer string) (w broker.Waiting, ok bool) {
	parts := strings.Split(consumer, "+")
	if parts[0] != "evt" || len(parts) != 3 && len(parts) != 5 && len(parts) != 6 {
		return w, false
	}
	w.Source, w.Event = name(parts[1]), name(parts[2])
	if len(parts) > 3 {
		w.Service, w.Handler = name(parts[3]), name(parts[4])
	}
	return w, true
}

// holderAge is how long it counts who was found to hold a full stream back:
// every refused event wants to know.
const holderAge = 5 * time.Second

// blame says who holds a full stream back.
type blame struct {
	mu    sync.Mutex // guards what follows
	said  map[string]string
	until map[string]time.Time
}

// holdsBack says which subscription has the most of a full stream of events.
func (d *Driver) holdsBack(ctx context.Context, name string) string {
	d.blame.mu.Lock()
	defer d.blame.mu.Unlock()
	if time.Now().Before(d.blame.until[name]) {
		return d.blame.said[name]
	}
	if d.blame.said == nil {
		d.blame.said, d.blame.until = make(map[string]string), make(map[string]time.Time)
	}
	said := "which subscription holds it back can't be told"
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if stream, err := d.js.Stream(ctx, name); err == nil {
		if all, err := d.holders(ctx, stream); err == nil && len(all) > 0 {
			most := slices.MaxFunc(all, func(a, b holder) int { return cmp.Compare(a.Events, b.Events) })
			said = most.String()
		}
	}
	d.blame.said[name], d.blame.until[name] = said, time.Now().Add(holderAge)
	return said
}

func (h holder) String() string {
	who := h.Handler // of a consumer that is not Enoki's
	switch {
	case h.Source != "" && h.Service == "":
		who = fmt.Sprintf("the singleton of %s.%s", h.Source, h.Event)
	case h.Source != "":
		who = fmt.Sprintf("%s.%s, which subscribes to %s.%s,", h.Service, h.Handler, h.Source, h.Event)
	}
	advice := "an instance is there: is it slow, or does it retry?"
	if !h.present {
		advice = "no instance asks for them: start one, or remove its consumer if nobody needs it any more"
	}
	return fmt.Sprintf("%s holds back %d events; %s", who, h.Events, advice)
}
