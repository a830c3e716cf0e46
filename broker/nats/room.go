package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker"
)

// Dead letters share one stream, and so do events that are due later. Whoever
// stores one looks first, and may have there as much as it leaves free: one
// that takes all it can gets half, two of them a third each, and however many
// they are, the next one finds room.

// sharedRoom is a stream that many share.
type sharedRoom struct {
	stream string
	limit  func(jetstream.StreamConfig) int64 // in bytes; 0 for none

	mu    sync.Mutex // guards what follows, and is held while the server is asked
	seen  time.Time
	size  int64 // of the room, in bytes; 0 when it has no limit, or none is known
	bytes int64 // that all have
	count uint64
	of    map[string]uint64 // how many messages a holder has, as far as was asked
	added map[string]uint64 // how many it has got since, from here
}

// share is what one of those has who share a room.
type share struct {
	holder   string   // the dead letters of push.on_posted, say
	subjects []string // filters
	advice   string
}

// roomAge is how long it counts what was seen of a shared stream. What this
// process adds meanwhile is counted here.
const roomAge = time.Second

// errShare is why there is no room while the stream has some.
var errShare = errors.New("nobody may have more of it than it leaves free for others")

// take counts a message of size bytes for a holder, or says that it has enough.
// When the server does not tell, it is for the server to refuse.
func (r *sharedRoom) take(ctx context.Context, d *Driver, s share, size int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.seen) > roomAge {
		r.look(ctx, d)
	}
	if r.size > 0 && r.bytes+size > r.size/2 { // below that nobody can have too much
		own, err := r.countOf(ctx, d, s)
		if err != nil {
			r.size = 0
			return nil //nolint:nilerr // see above
		}
		if has := portion(r.bytes, own, r.count); has+size > r.size-r.bytes {
			return &fullError{stream: r.stream, reason: errShare, holder: fmt.Sprintf("%d %s take about %s of %s, and all together %s; %s",
				own, s.holder, inMiB(has), inMiB(r.size), inMiB(r.bytes), s.advice)}
		}
		r.of[s.holder]++
	}
	r.added[s.holder]++
	r.bytes += size
	r.count++
	return nil
}

// portion is what some of all messages have of all bytes: the server counts
// bytes for a whole stream only.
func portion(bytes int64, some, all uint64) int64 {
	if all == 0 {
		return 0
	}
	return int64(float64(bytes) * float64(min(some, all)) / float64(all))
}

func inMiB(bytes int64) string {
	return strconv.FormatFloat(float64(bytes)/(1<<20), 'f', 1, 64) + " MiB"
}

// look asks the server how full the stream is. r.mu is held.
func (r *sharedRoom) look(ctx context.Context, d *Driver) {
	r.size, r.of, r.added, r.seen = 0, make(map[string]uint64), make(map[string]uint64), time.Now()
	if !d.link.nc.IsConnected() {
		return // storing waits for it
	}
	if stream, err := d.streams.info(ctx, r.stream); err == nil {
		info := stream.CachedInfo()
		r.size, r.bytes, r.count = r.limit(info.Config), int64(info.State.Bytes), info.State.Msgs
	}
	r.seen = time.Now()
}

// countOf returns how many messages a holder has. r.mu is held.
func (r *sharedRoom) countOf(ctx context.Context, d *Driver, s share) (n uint64, err error) {
	if n, known := r.of[s.holder]; known {
		return n, nil
	}
	for _, filter := range s.subjects {
		some, err := d.countMessages(ctx, r.stream, filter)
		if err != nil {
			return 0, err
		}
		n += some
	}
	n = max(n, r.added[s.holder]) // of which the server may not have all yet
	r.of[s.holder] = n
	return n, nil
}

// countMessages counts the messages of a stream under a subject. A server before
// 2.11 does not tell.
func (d *Driver) countMessages(ctx context.Context, stream, subject string) (uint64, error) {
	// A batch tells how many come after it; its one message tells the first.
	request := fmt.Sprintf(`{"seq":1,"next_by_subj":%q,"batch":1}`, subject)
	answer, err := d.request(ctx, &natsgo.Msg{Subject: "$JS.API.DIRECT.GET." + stream, Data: []byte(request)}, true)
	if err != nil {
		return 0, err
	}
	switch statusOf(answer) {
	case "":
	case "404":
		return 0, nil
	default:
		return 0, fmt.Errorf("count %s in stream %s: %s", subject, stream, answer.Header.Get("Description"))
	}
	rest, err := strconv.ParseUint(answer.Header.Get("Nats-Num-Pending"), 10, 64)
	return rest + 1, err
}

// deadShare is what the dead letters of a handler are in their stream.
func deadShare(l broker.DeadLetter) share {
	return share{
		holder:   fmt.Sprintf("dead letters of %s.%s", l.Service, l.Handler),
		subjects: []string{deadSubjects(l.Service, l.Handler)},
		advice:   fmt.Sprintf("retry or discard them (enoki dead --service %s --handler %s)", l.Service, l.Handler),
	}
}

// laterShare is what the events of a source are that are due later.
func laterShare(source string) share {
	return share{
		holder:   fmt.Sprintf("events of %s that are due later", source),
		subjects: []string{laterPrefix + token(source) + ".>", duePrefix + token(source) + ".>"},
		advice:   "emit fewer of them, or raise Config.LaterBytes (--nats-later-bytes)",
	}
}
