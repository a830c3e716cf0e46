package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/enoki-go/enoki/broker"
)

// Earlier versions kept the events of all sources in one stream. Part gives
// each source its own: every consumer gets a twin there, and then new events go
// there. What was stored before stays where it is. An instance first handles
// that, and goes over to the twin once the old consumer has nothing left: so
// no event is lost, none comes twice, and an order holds.

const (
	// partPrefix begins the subjects of streams while they have none of events.
	partPrefix = "enoki.parting."

	// partedSubject is that of the shared stream once new events go elsewhere.
	// No name becomes that token.
	partedSubject = partPrefix + "%all"

	// movePause is how often it is looked whether an old consumer has something
	// left, and partPause how often Part does so.
	movePause = 2 * time.Second
	partPause = 200 * time.Millisecond

	// streamsKey is the metadata key by which an instance shows that it knows
	// streams of sources.
	streamsKey, streamsBySource = "enoki-streams", "by-source"
)

func partingSubject(source string) string { return partPrefix + token(source) + ".>" }

// Part gives the events of each source a stream of its own where all of them
// share one, as earlier versions made it. It refuses while instances of those
// versions run. It returns when the shared stream is empty and deleted, or when
// ctx ends; then it may be called again and goes on. Meanwhile waits is told
// what the subscriptions of the shared stream still have to handle.
func (d *Driver) Part(ctx context.Context, waits func([]broker.Waiting)) error {
	if err := d.part(ctx, waits); err != nil {
		return fmt.Errorf("nats: part stream %s: %w", sharedStream, d.readError(err))
	}
	return nil
}

func (d *Driver) part(ctx context.Context, waits func([]broker.Waiting)) error {
	stream, err := d.streams.info(ctx, sharedStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	config := stream.CachedInfo().Config
	if slices.Contains(config.Subjects, eventPrefix+">") {
		if err := d.onlyThisVersion(ctx); err != nil {
			return err
		}
		if _, err := d.twins(ctx, stream); err != nil {
			return err
		}
		config.Subjects = []string{partedSubject}
		if err := d.change(ctx, config); err != nil {
			return err
		}
	}
	for {
		left, err := d.twins(ctx, stream)
		if err == nil {
			err = d.openParted(ctx)
		}
		if err == nil && len(left) == 0 {
			return d.streams.remove(ctx, sharedStream)
		}
		if err != nil {
			return err
		}
		var waiting broker.Backlog
		for _, info := range left {
			moved, err := d.moveOn(ctx, info.Name)
			if err != nil {
				return err
			}
			if w, _ := subscriptionOf(info.Name); !moved {
				w.Events = unhandled(info)
				waiting.Add(w)
			}
		}
		waits(waiting.Waiting)
		if err := sleep(ctx, partPause); err != nil {
			return err
		}
	}
}

// onlyThisVersion returns an error that names the instances which know the
// shared stream only.
func (d *Driver) onlyThisVersion(ctx context.Context) error {
	var earlier []string
	err := d.ask(ctx, srvSubject(micro.InfoVerb), func(msg *natsgo.Msg) bool {
		var info micro.Info
		if json.Unmarshal(msg.Data, &info) == nil && info.Metadata[instanceKey] != "" && info.Metadata[streamsKey] != streamsBySource {
			earlier = append(earlier, info.Name+" "+info.ID)
		}
		return len(earlier) < maxInstances
	})
	if err == nil && len(earlier) > 0 {
		err = fmt.Errorf("%w: instances of an earlier version run, which know no other stream: %s: update or stop them first",
			errRefused, strings.Join(earlier, ", "))
	}
	return err
}

// twins returns the consumers of the shared stream, each of which has a twin in
// the stream of its source then.
func (d *Driver) twins(ctx context.Context, shared jetstream.Stream) ([]*jetstream.ConsumerInfo, error) {
	var all []*jetstream.ConsumerInfo
	list := shared.ListConsumers(ctx)
	for info := range list.Info() {
		all = append(all, info)
	}
	if err := list.Err(); err != nil {
		return nil, err
	}
	for _, info := range all {
		w, ours := subscriptionOf(info.Name)
		if !ours || info.Config.FilterSubject != eventSubject(w.Source, w.Event) {
			return nil, fmt.Errorf("%w: consumer %s for %q is not Enoki's: make it in the streams of the sources yourself, and delete it",
				errRefused, info.Name, info.Config.FilterSubject)
		}
		if err := d.twin(ctx, w.Source, info.Config); err != nil {
			return nil, fmt.Errorf("consumer %s: %w", info.Name, err)
		}
	}
	return all, nil
}

// twin makes a consumer in the stream of its source, and that stream, which
// gets no events yet, if they are missing.
func (d *Driver) twin(ctx context.Context, source string, config jetstream.ConsumerConfig) error {
	stream := eventsOf + token(source)
	if _, err := d.streams.info(ctx, stream); errors.Is(err, jetstream.ErrStreamNotFound) {
		made := d.streams.events
		made.Name, made.Subjects = stream, []string{partingSubject(source)}
		err = d.streams.make(ctx, []jetstream.StreamConfig{made}, d.streams.spareOfSources())
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	config.DeliverPolicy, config.OptStartSeq, config.OptStartTime = jetstream.DeliverNewPolicy, 0, nil
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	_, err := d.js.CreateConsumer(ctx, stream, config)
	if exists(err) { // made by an instance, with settings of its own
		return nil
	}
	return err
}

// openParted has the streams of sources get events that got none yet.
func (d *Driver) openParted(ctx context.Context) error {
	list := d.js.ListStreams(ctx, jetstream.WithStreamListSubject(partPrefix+">"))
	for info := range list.Info() {
		if source, ok := strings.CutPrefix(info.Config.Name, eventsOf); ok {
			config := info.Config
			config.Subjects = []string{eventSubjects(name(source))}
			if err := d.change(ctx, config); err != nil {
				return err
			}
		}
	}
	return list.Err()
}

func (d *Driver) change(ctx context.Context, config jetstream.StreamConfig) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	_, err := d.js.UpdateStream(ctx, config)
	return err
}

// moveOn deletes a consumer of the shared stream that has nothing left: its
// instances are told so, and go over to its twin.
func (d *Driver) moveOn(ctx context.Context, consumer string) (moved bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	there, err := d.js.Consumer(ctx, sharedStream, consumer)
	if err == nil {
		if unhandled(there.CachedInfo()) > 0 {
			return false, nil
		}
		err = d.js.DeleteConsumer(ctx, sharedStream, consumer)
	}
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return true, nil
	}
	return err == nil, err
}

// oldFirst returns the shared stream while a consumer is there, otherwise that
// of its twin.
func (d *Driver) oldFirst(ctx context.Context, stream, consumer string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	_, err := d.js.Consumer(ctx, sharedStream, consumer)
	switch {
	case err == nil:
		return sharedStream, nil
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
		return stream, nil
	}
	return stream, err
}

func unhandled(info *jetstream.ConsumerInfo) uint64 {
	return info.NumPending + uint64(info.NumAckPending)
}

// moves has the consumers of this link go over to their twins, also when nobody
// waits in Part any more, until the driver is closed.
func (d *Driver) moves() {
	ctx, cancel := d.untilClosed()
	defer cancel()
	for sleep(ctx, movePause) == nil {
		if d.streams.isShared() {
			_ = d.streams.lookShared(ctx) // the next look tells
		}
		if !d.streams.isParting() {
			continue
		}
		for _, m := range d.joined() {
			for _, c := range m.events {
				if c.where() != sharedStream {
					continue
				}
				if _, err := d.moveOn(ctx, c.name); err != nil {
					d.log.Warn("can't tell whether a consumer of the shared stream has events left", "consumer", c.name, "error", err)
				}
			}
		}
	}
}
