package nats

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

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
		streams[d.streams.of(source)] = true
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
		Name: name, Used: int64(info.State.Bytes), Limit: max(info.Config.MaxBytes, 0),
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
	consumer string
	present  bool // an instance asks for events
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
		all = append(all, holder{Waiting: w, consumer: info.Name, present: info.NumWaiting > 0})
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
