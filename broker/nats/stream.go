package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Names of the streams.
const (
	// eventsOf begins the name of the stream that keeps the events of one
	// source. One source's backlog must not take the room of another's, and
	// the server keeps no account within a stream.
	eventsOf = "ENOKI_EVENTS_"

	// sharedStream kept the events of all sources in earlier versions. While
	// it is there, it still does: instances of those versions read nothing
	// else, and subjects of two streams must not overlap.
	sharedStream = "ENOKI_EVENTS"

	deadStream    = "ENOKI_DEAD"
	attemptStream = "ENOKI_ATTEMPTS"
	laterStream   = "ENOKI_LATER"
	lockStream    = "ENOKI_LOCKS"
)

const (
	// minEventBytes is the smallest stream worth having.
	minEventBytes = 1 << 20

	// The most that a stream holds, unless told otherwise.
	defaultEventBytes = 256 << 20
	defaultDeadBytes  = 128 << 20
	defaultLaterBytes = 512 << 20
	attemptBytes      = 32 << 20
	lockBytes         = 8 << 20

	// lookTimeout is for a look at a stream: a server that is coming up loses
	// some of the first questions.
	lookTimeout = 2 * time.Second

	// smallBytes is how small a stream gets before the log says so.
	smallBytes = 16 << 20

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

	// probeStream is made for a moment, to see how much room there is.
	probeStream = "ENOKI_PROBE"

	// How many times the size of new streams has to fit, so that there is room
	// for further ones: of those that are always there, and of a source.
	spareFixed  = 4
	spareEvents = 16

	// overlaps is JetStream's code for subjects that another stream has.
	overlaps jetstream.ErrorCode = 10065

	// noCluster is JetStream's code for replicas on a server that is alone.
	noCluster jetstream.ErrorCode = 10074

	// fewConsumers is JetStream's code for more consumers than are allowed.
	fewConsumers jetstream.ErrorCode = 10026
)

// streams are the streams of a broker, and handles to read them.
type streams struct {
	js     jetstream.JetStream
	log    *slog.Logger
	fixed  []jetstream.StreamConfig // those that are always there
	events jetstream.StreamConfig   // of a source; name and subjects are to be set
	later  int64                    // the most bytes of events that are due later
	exact  bool                     // the size of events was asked for

	making  sync.Mutex // held while a stream is made, so that probes see what is there
	divided int64      // by how much the streams of sources are smaller, as far as is known; guarded by making
	known   int        // how many more of them are known to fit, without another probe; guarded by making

	mu      sync.Mutex // guards what follows
	handles map[string]jetstream.Stream
	warned  map[string]bool
	shared  bool // when it was looked last, all sources shared one stream
	parting bool // it then still had events, but got no new ones
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
	events.Retention, events.MaxBytes = jetstream.InterestPolicy, cmp.Or(c.EventBytes, defaultEventBytes)
	events.MaxConsumers = maxSubscriptions
	dead.Name, dead.Subjects = deadStream, []string{deadPrefix + ">"}
	dead.MaxBytes = c.DeadBytes
	attempts.Name, attempts.Subjects = attemptStream, []string{attemptPrefix + ">"}
	attempts.MaxBytes, attempts.Discard = attemptBytes, jetstream.DiscardOld
	attempts.MaxMsgsPerSubject, attempts.MaxAge = 1, attemptAge
	locks.Name, locks.Subjects = lockStream, []string{lockPrefix + ">"}
	locks.MaxBytes, locks.MaxMsgsPerSubject = lockBytes, 1
	locks.AllowDirect = false // only the leader of a stream knows what is last
	// What waits must not be dropped, and the server allows no schedules in a
	// stream that refuses: so those who emit keep to the limit, see laterRoom.
	later.Name, later.Subjects = laterStream, []string{laterPrefix + ">", duePrefix + ">"}
	later.Retention, later.MaxBytes, later.Discard = jetstream.WorkQueuePolicy, -1, jetstream.DiscardOld
	later.AllowMsgSchedules = schedules && !c.noSchedules
	return &streams{
		js: js, log: c.Logger,
		fixed:   []jetstream.StreamConfig{locks, attempts, dead, later},
		events:  events,
		later:   c.LaterBytes,
		exact:   c.EventBytes != 0,
		handles: make(map[string]jetstream.Stream),
		warned:  make(map[string]bool),
	}
}

// ensure creates the streams that are missing, but for those of sources. It
// changes none that exists: an operator may have had reasons.
func (s *streams) ensure(ctx context.Context) error {
	if err := s.lookShared(ctx); err != nil {
		return err
	}
	var missing []jetstream.StreamConfig
	lost := false
	for _, config := range s.fixed {
		switch err := s.take(ctx, config); {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			missing = append(missing, config)
			lost = lost || s.handle(config.Name) != nil
		case err != nil:
			return err
		}
	}
	if lost {
		if err := s.letGo(ctx, missing...); err != nil {
			return err
		}
	}
	return s.make(ctx, missing, spareFixed)
}

// of returns the stream that keeps the events of source, and creates it when
// it is missing.
func (s *streams) of(ctx context.Context, source string) (string, error) {
	config := s.events
	config.Name, config.Subjects = eventsOf+token(source), []string{eventSubjects(source)}
	if !s.isShared() { // otherwise it can't be there
		err := s.take(ctx, config)
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return config.Name, err
		}
	}
	if err := s.lookShared(ctx); err != nil {
		return "", err
	}
	if s.isShared() {
		return sharedStream, nil
	}
	if s.handle(config.Name) != nil {
		if err := s.letGo(ctx, config); err != nil {
			return "", err
		}
	}
	err := s.make(ctx, []jetstream.StreamConfig{config}, s.spareOfSources())
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == overlaps { // an instance of an earlier version was faster
		if look := s.lookShared(ctx); look != nil {
			return "", look
		}
		if s.isShared() {
			return sharedStream, nil
		}
	}
	return config.Name, err
}

// spareOfSources is how many times the stream of a source has to fit.
func (s *streams) spareOfSources() int64 {
	if s.exact {
		return 1
	}
	return spareEvents
}

// nameOf returns the name of the stream that of returns, as far as is known.
func (s *streams) nameOf(source string) string {
	if s.isShared() {
		return sharedStream
	}
	return eventsOf + token(source)
}

// lookShared sees whether all sources share one stream.
func (s *streams) lookShared(ctx context.Context) error {
	config := s.events
	config.Name, config.Subjects = sharedStream, []string{eventPrefix + ">"}
	stream, err := s.info(ctx, sharedStream)
	there := err == nil && slices.Contains(stream.CachedInfo().Config.Subjects, config.Subjects[0])
	parting := err == nil && slices.Contains(stream.CachedInfo().Config.Subjects, partedSubject)
	if there {
		err = s.keep(stream, config)
	}
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("stream %s: %w", sharedStream, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if there && !s.shared {
		s.log.Warn("the events of all sources share one stream, as in earlier versions: when it is full, all of them are refused; enoki broker part gives each its own", "stream", sharedStream)
	}
	s.shared, s.parting = there, parting
	return nil
}

func (s *streams) isParting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parting
}

func (s *streams) isShared() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shared
}

// take takes a stream into use that is there.
func (s *streams) take(ctx context.Context, config jetstream.StreamConfig) error {
	stream, err := s.info(ctx, config.Name)
	if err == nil {
		err = s.keep(stream, config)
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", config.Name, err)
	}
	return nil
}

// letGo gives streams some time that were there and are gone, because somebody
// is just deleting them: the server tells before it has moved the files away
// (nats-server 2.15), and would move away those of a new stream of that name,
// too.
func (s *streams) letGo(ctx context.Context, gone ...jetstream.StreamConfig) error {
	names := make([]string, 0, len(gone))
	for _, config := range gone {
		names = append(names, config.Name)
	}
	s.log.Warn("streams were deleted; they are made again", "streams", names, "after", deletePause)
	return sleep(ctx, deletePause)
}

// info, add and remove ask the server, which has a time for each: one
// stream that it can't tell of must not take the time of the others.
func (s *streams) info(ctx context.Context, name string) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	return s.js.Stream(ctx, name)
}

func (s *streams) add(ctx context.Context, config jetstream.StreamConfig) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	return s.js.CreateStream(ctx, config)
}

func (s *streams) remove(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	return s.js.DeleteStream(ctx, name)
}

// make creates streams, all smaller in the same measure where they do not fit
// spare times.
func (s *streams) make(ctx context.Context, missing []jetstream.StreamConfig, spare int64) error {
	if len(missing) == 0 {
		return nil
	}
	s.making.Lock()
	defer s.making.Unlock()
	divisor, fits := s.divisorFor(ctx, missing, spare)
	for _, config := range missing {
		wanted := config.MaxBytes
		config.MaxBytes = fraction(config, divisor)
		if config.Name == laterStream {
			config.Metadata = map[string]string{laterRoom: strconv.FormatInt(max(s.later/divisor, minEventBytes), 10)}
		}
		if !fits && isNoRoom(s.probe(ctx, config.MaxBytes+1, config.Replicas)) {
			config.MaxBytes = -1 // of which the server wants a byte to be free
		}
		if err := s.create(ctx, config, wanted); err != nil {
			return err
		}
	}
	return nil
}

// create creates a stream of which wanted bytes were to be set aside.
func (s *streams) create(ctx context.Context, config jetstream.StreamConfig, wanted int64) error {
	stream, err := s.add(ctx, config)
	if isNoRoom(err) && config.MaxBytes > 0 {
		config.MaxBytes = -1
		stream, err = s.add(ctx, config)
	}
	if err == nil && config.MaxBytes < 0 && wanted > 0 { // a service that does not start is worse than one without room of its own
		s.log.Warn("the NATS server has no room left to set aside: a stream shares what the others leave; raise max_file_store, or delete streams that nobody needs", "stream", config.Name)
		wanted = -1
	}
	if config.MaxConsumers > 0 && isFewConsumers(err) { // the account's limit, which holds then
		config.MaxConsumers = 0
		stream, err = s.add(ctx, config)
	}
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // made meanwhile, with another size
		stream, err = s.info(ctx, config.Name)
	}
	var api *jetstream.APIError
	switch {
	case errors.As(err, &api) && api.ErrorCode == noCluster:
		err = fmt.Errorf("%w: %w, and %d replicas are asked for; leave Config.Replicas (--nats-replicas) at 0", errRefused, err, config.Replicas)
	case errors.As(err, &api) && config.Replicas > 1:
		err = fmt.Errorf("%w: with %d replicas; set Config.Replicas (--nats-replicas) if the cluster has fewer servers", err, config.Replicas)
	case err == nil:
		err = s.keep(stream, config)
	}
	if err != nil {
		return fmt.Errorf("create stream %s: %w", config.Name, err)
	}
	if config.MaxBytes < wanted && (s.exact || config.MaxBytes < smallBytes) {
		s.log.Warn("the NATS server has little room: a stream is smaller than usual", "stream", config.Name, "bytes", config.MaxBytes, "usual", wanted)
	}
	return nil
}

func isFewConsumers(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == fewConsumers
}

func isNoRoom(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == noRoom
}

// divisorFor is divisor, without a probe where an earlier one has found room for
// so many streams of this kind that this one fits, too.
func (s *streams) divisorFor(ctx context.Context, missing []jetstream.StreamConfig, spare int64) (divisor int64, fits bool) {
	if spare == spareEvents && s.known > 0 {
		s.known--
		return s.divided, true
	}
	divisor, fits = s.divisor(ctx, missing, spare)
	if spare == spareEvents && fits {
		s.divided, s.known = divisor, spareEvents/2
	}
	return divisor, fits
}

// divisor returns by how much streams have to be smaller to fit spare times, and
// whether they do then: they get no smaller than minEventBytes. The server does
// not tell how much room it has, so a stream of that size shows it.
func (s *streams) divisor(ctx context.Context, wanted []jetstream.StreamConfig, spare int64) (divisor int64, fits bool) {
	for divisor = 1; ; divisor *= 2 {
		size, least := int64(0), true
		for _, config := range wanted {
			size += max(fraction(config, divisor), 0)
			least = least && fraction(config, divisor) <= minEventBytes
		}
		fits = !isNoRoom(s.probe(ctx, spare*size, wanted[0].Replicas)) // any other error comes again, and tells more, as they are made
		if fits || least {
			return divisor, fits
		}
	}
}

// probe tells by its error whether a stream of that size fits.
func (s *streams) probe(ctx context.Context, size int64, replicas int) error {
	config := jetstream.StreamConfig{Name: probeStream, Storage: jetstream.FileStorage, Replicas: replicas, MaxBytes: size}
	_, err := s.add(ctx, config)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // somebody else's probe, or one that was left behind
		if err := sleep(ctx, storePause); err != nil {
			return err
		}
		_ = s.remove(ctx, probeStream) // gone already, if its maker lives
		_, err = s.add(ctx, config)
	}
	if err != nil {
		return err
	}
	err = s.remove(ctx, probeStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) { // somebody else has taken it for one left behind
		return nil
	}
	return err
}

// fraction is the size of a smaller stream. One without a limit reserves no
// room, and has none yet.
func fraction(config jetstream.StreamConfig, divisor int64) int64 {
	if config.MaxBytes < 0 {
		return config.MaxBytes
	}
	return max(config.MaxBytes/divisor, minEventBytes)
}

// laterRoom is the key of the stream of events that are due later for how many
// bytes it may hold.
const laterRoom = "enoki-bytes"

// roomOf is how many bytes a stream may hold, 0 if there is no limit but the
// server's.
func (s *streams) roomOf(config jetstream.StreamConfig) int64 {
	if config.MaxBytes > 0 || config.Name != laterStream {
		return max(config.MaxBytes, 0)
	}
	if bytes, err := strconv.ParseInt(config.Metadata[laterRoom], 10, 64); err == nil && bytes > 0 {
		return bytes
	}
	return s.later // made by an earlier version
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
	if events, ok := strings.CutPrefix(want.Subjects[0], eventPrefix); ok && slices.Contains(is.Subjects, partPrefix+events) {
		return errors.New("it gets no events yet; if that stays, run enoki broker part again")
	}
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
