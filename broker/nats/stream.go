package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Names of the streams.
const (
	eventStream   = "ENOKI_EVENTS"
	deadStream    = "ENOKI_DEAD"
	attemptStream = "ENOKI_ATTEMPTS"
	laterStream   = "ENOKI_LATER"
	lockStream    = "ENOKI_LOCKS"
)

const (
	// minEventBytes is the smallest stream of events worth having.
	minEventBytes = 1 << 20

	// duplicateWindow is how long the broker remembers the ids of events, in
	// which the same event may be emitted again without harm.
	duplicateWindow = 2 * time.Minute

	// attemptAge is how long an attempt is remembered without a new one:
	// longer than any sensible pause between two attempts.
	attemptAge = 30 * 24 * time.Hour

	// deletePause is far longer than moving the files of a stream takes.
	deletePause = time.Second

	// noRoom is JetStream's code for a stream that does not fit into the
	// server's store beside the others.
	noRoom jetstream.ErrorCode = 10047

	// maxSubscriptions is more than a cluster has. A server of version 2.15
	// allows a stream 1000 consumers when nobody asks for more.
	maxSubscriptions = 1_000_000

	// fewConsumers is JetStream's code for more consumers than are allowed.
	fewConsumers jetstream.ErrorCode = 10026
)

// streams are the streams of a broker, and handles to read them.
type streams struct {
	js      jetstream.JetStream
	log     *slog.Logger
	configs []jetstream.StreamConfig

	mu      sync.Mutex // guards what follows
	handles map[string]jetstream.Stream
	warned  map[string]bool
}

func newStreams(js jetstream.JetStream, c Config, clustered, schedules bool) *streams {
	replicas := c.Replicas
	if replicas == 0 {
		replicas = 1
		if clustered {
			replicas = 3
		}
	}
	common := jetstream.StreamConfig{
		Storage:     jetstream.FileStorage,
		Replicas:    replicas,
		Duplicates:  duplicateWindow,
		AllowDirect: true,
		Discard:     jetstream.DiscardNew, // a full stream refuses loudly
	}
	events, dead, attempts, later, locks := common, common, common, common, common
	events.Name, events.Subjects = eventStream, []string{eventPrefix + ">"}
	events.Retention, events.MaxBytes = jetstream.InterestPolicy, c.EventBytes
	events.MaxConsumers = maxSubscriptions
	dead.Name, dead.Subjects = deadStream, []string{deadPrefix + ">"}
	dead.MaxBytes = max(c.EventBytes/4, minEventBytes)
	attempts.Name, attempts.Subjects = attemptStream, []string{attemptPrefix + ">"}
	attempts.MaxBytes, attempts.Discard = max(c.EventBytes/16, minEventBytes), jetstream.DiscardOld
	attempts.MaxMsgsPerSubject, attempts.MaxAge = 1, attemptAge
	locks.Name, locks.Subjects = lockStream, []string{lockPrefix + ">"}
	locks.MaxBytes, locks.MaxMsgsPerSubject = max(c.EventBytes/64, minEventBytes), 1
	locks.AllowDirect = false // only the leader of a stream knows what is last
	// What waits must not be dropped, and the server allows no schedules in a
	// stream that refuses: so it has no limit but the server's.
	later.Name, later.Subjects = laterStream, []string{laterPrefix + ">", duePrefix + ">"}
	later.Retention, later.MaxBytes, later.Discard = jetstream.WorkQueuePolicy, -1, jetstream.DiscardOld
	later.AllowMsgSchedules = schedules && !c.noSchedules
	return &streams{
		js: js, log: c.Logger,
		configs: []jetstream.StreamConfig{locks, attempts, dead, later, events},
		handles: make(map[string]jetstream.Stream),
		warned:  make(map[string]bool),
	}
}

// ensure creates the streams that are missing. It changes none that exists:
// an operator may have had reasons.
func (s *streams) ensure(ctx context.Context) error {
	var missing []jetstream.StreamConfig
	for _, config := range s.configs {
		stream, err := s.look(ctx, config.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			missing = append(missing, config)
			continue
		}
		if err == nil {
			err = s.keep(stream, config)
		}
		if err != nil {
			return fmt.Errorf("stream %s: %w", config.Name, err)
		}
	}
	for i, config := range missing {
		stream, err := s.create(ctx, config)
		if isNoRoom(err) {
			return s.squeeze(ctx, missing[i:])
		}
		if err == nil {
			err = s.keep(stream, config)
		}
		if err != nil {
			return fmt.Errorf("create stream %s: %w", config.Name, err)
		}
	}
	return nil
}

// look returns the stream of that name. One that was there and is gone gets
// some time, because somebody is just deleting it: the server tells before it
// has moved the files away (nats-server 2.15), and would move away those of a
// new stream of that name, too.
func (s *streams) look(ctx context.Context, name string) (jetstream.Stream, error) {
	stream, err := s.js.Stream(ctx, name)
	if !errors.Is(err, jetstream.ErrStreamNotFound) || s.handle(name) == nil {
		return stream, err
	}
	s.log.Warn("a stream was deleted; it is made again", "stream", name, "after", deletePause)
	if err := sleep(ctx, deletePause); err != nil {
		return nil, err
	}
	return s.js.Stream(ctx, name)
}

func (s *streams) create(ctx context.Context, config jetstream.StreamConfig) (jetstream.Stream, error) {
	stream, err := s.js.CreateStream(ctx, config)
	if config.MaxConsumers > 0 && isFewConsumers(err) { // the account's limit, which holds then
		config.MaxConsumers = 0
		stream, err = s.js.CreateStream(ctx, config)
	}
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // made meanwhile, with another size
		return s.js.Stream(ctx, config.Name)
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && config.Replicas > 1 {
		err = fmt.Errorf("%w: with %d replicas; set Config.Replicas if the cluster has fewer servers", err, config.Replicas)
	}
	return stream, err
}

func isFewConsumers(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == fewConsumers
}

func isNoRoom(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == noRoom
}

// squeeze creates the missing streams as large as the server has room for, all
// smaller in the same measure. The server does not tell how much room it has,
// so a stream of the size of all shows whether they fit.
func (s *streams) squeeze(ctx context.Context, missing []jetstream.StreamConfig) error {
	for divisor := int64(2); ; divisor *= 2 {
		probe := jetstream.StreamConfig{Name: "ENOKI_PROBE", Storage: jetstream.FileStorage, Replicas: missing[0].Replicas}
		atLeast := true // each is as small as it may be
		for _, config := range missing {
			size := fraction(config, divisor)
			atLeast = atLeast && size <= minEventBytes
			probe.MaxBytes += max(size, 0)
		}
		_, err := s.js.CreateStream(ctx, probe)
		if isNoRoom(err) && !atLeast {
			continue
		}
		if err != nil {
			return fmt.Errorf("%w: the NATS server has no room for streams of %d MiB; raise its max_file_store: %w", errRefused, probe.MaxBytes>>20, err)
		}
		if err := s.js.DeleteStream(ctx, probe.Name); err != nil {
			return err
		}
		return s.createSmaller(ctx, missing, divisor)
	}
}

func (s *streams) createSmaller(ctx context.Context, missing []jetstream.StreamConfig, divisor int64) error {
	for _, config := range missing {
		wanted := config.MaxBytes
		config.MaxBytes = fraction(config, divisor)
		stream, err := s.create(ctx, config)
		if err == nil {
			err = s.keep(stream, config)
		}
		if err != nil {
			return fmt.Errorf("create stream %s: %w", config.Name, err)
		}
		if wanted < 0 {
			continue
		}
		s.log.Warn("the NATS server has little room: a stream is smaller than usual", "stream", config.Name, "bytes", config.MaxBytes, "usual", wanted)
	}
	return nil
}

// fraction is the size of a smaller stream. One without a limit reserves no
// room, and has none yet.
func fraction(config jetstream.StreamConfig, divisor int64) int64 {
	if config.MaxBytes < 0 {
		return config.MaxBytes
	}
	return max(config.MaxBytes/divisor, minEventBytes)
}

// schedules tells whether the server makes events wait that are due later.
func (s *streams) schedules() bool {
	later := s.handle(laterStream)
	return later != nil && later.CachedInfo().Config.AllowMsgSchedules
}

// keep takes a stream into use if it can serve.
func (s *streams) keep(stream jetstream.Stream, want jetstream.StreamConfig) error {
	if err := s.compare(stream.CachedInfo().Config, want); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handles[want.Name] = stream
	return nil
}

// compare warns of what differs from what we would have made, once. Without
// our subjects or our retention events would be lost, so that is an error.
func (s *streams) compare(is, want jetstream.StreamConfig) error {
	if is.Retention != want.Retention || !slices.Contains(is.Subjects, want.Subjects[0]) {
		return fmt.Errorf("%w: it has subjects %q and %s retention, Enoki needs %q and %s: move its messages away and delete it",
			errRefused, is.Subjects, is.Retention, want.Subjects, want.Retention)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.warned[is.Name] {
		return nil
	}
	s.warned[is.Name] = true
	if is.Discard != want.Discard || is.Storage != want.Storage || is.Replicas < want.Replicas || is.MaxMsgSize > 0 {
		s.log.Warn("a stream is not as Enoki makes it; it is left as it is", "stream", is.Name,
			"storage", is.Storage, "discard", is.Discard, "replicas", is.Replicas, "max_msg_size", is.MaxMsgSize,
			"usual storage", want.Storage, "usual discard", want.Discard, "usual replicas", want.Replicas)
	}
	return nil
}

// handle returns the stream of that name, once ensure has seen it.
func (s *streams) handle(name string) jetstream.Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handles[name]
}

// of returns the name of the stream that keeps the events of source.
func (s *streams) of(string) string { return eventStream }
