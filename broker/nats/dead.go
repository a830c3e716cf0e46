package nats

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/uuid"
)

const (
	// The most of a reason and a kind that a dead letter keeps, in bytes; with
	// names and the rest it stays within deadReserve.
	maxReason = 1024
	maxKind   = 128

	// deadPage is how many dead letters are read at once.
	deadPage = 100

	// clockSlack is how far apart the clocks of two machines may be: the
	// broker's says when a letter came, the instance's when it died.
	clockSlack = time.Minute

	// restReserve is what a parted dead letter needs besides.
	restReserve = 256

	// maxHeader is the most of headers that a stream takes, 64 KiB, less what
	// a parted dead letter needs.
	maxHeader = 64<<10 - 1 - restReserve

	// sequencePrefix begins the id of a dead letter that somebody else has put
	// into the stream; its sequence follows.
	sequencePrefix = "seq-"
)

// letter is what the header of a dead letter says of it. A letter that is
// retried keeps the header on its way back, so that it finds its consumer.
type letter struct {
	broker.DeadLetter
	Consumer string `json:"consumer,omitempty"` // of an event: where it goes back to
}

// cut returns text of at most limit bytes.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}

// bury stores msg as a dead letter and returns when the broker has it. The key
// keeps one that is buried twice from being there twice.
func (m *member) bury(ctx context.Context, l letter, msg *natsgo.Msg, key string) error {
	l.ID, l.Died = uuid.Short(), time.Now()
	l.Reason, l.Kind = cut(l.Reason, maxReason), cut(l.Kind, maxKind)
	header := ownHeader(msg.Header)
	delete(header, restHeader) // an event is whole
	header[jetstream.MsgIDHeader] = []string{key}
	if err := l.write(header); err != nil {
		return err
	}
	dead := &natsgo.Msg{Subject: deadSubject(l.Service, l.Handler, l.ID), Header: header, Data: msg.Data}
	if err := m.driver.deadRoom.take(ctx, m.driver, deadShare(l.DeadLetter), contentSize(dead)); err != nil {
		return err
	}
	if err := m.driver.storeDead(ctx, dead, key); err != nil {
		return err
	}
	if m.service.Buried != nil {
		m.service.Buried(l.DeadLetter)
	}
	return nil
}

// storeDead stores a dead letter. One that is too large, because a foreign
// message came up to the server's limits and says more now, is parted: the end
// of its body is stored first, as a message that is no letter. Headers that have
// no room beside ours are left out.
func (d *Driver) storeDead(ctx context.Context, dead *natsgo.Msg, key string) error {
	limit := d.link.nc.MaxPayload() - restReserve
	if contentSize(dead)-int64(len(dead.Data)) > maxHeader {
		d.log.Warn("a dead letter is kept without its headers, which are too large with what it has to say", "subject", dead.Subject)
		maps.DeleteFunc(dead.Header, func(name string, _ []string) bool {
			return !slices.Contains([]string{idHeader, deadHeader, jetstream.MsgIDHeader}, name)
		})
	}
	if over := contentSize(dead) - limit; over > 0 {
		kept := int64(len(dead.Data)) - over
		sum := sha256.Sum256([]byte(key)) // the same for a letter that is buried again
		rest := &natsgo.Msg{Subject: restPrefix + hex.EncodeToString(sum[:]), Data: dead.Data[kept:],
			Header: natsgo.Header{jetstream.MsgIDHeader: []string{key + "/rest"}}}
		if err := d.store(ctx, rest); err != nil {
			return err
		}
		dead.Header[restHeader], dead.Data = []string{rest.Subject}, dead.Data[:kept]
	}
	return d.store(ctx, dead)
}

// restOf returns where the end of a dead letter is, or "" if it is whole. What a
// foreign sender names instead, such as all dead letters, is none.
func restOf(header natsgo.Header) string {
	subject := header.Get(restHeader)
	sum, ok := strings.CutPrefix(subject, restPrefix)
	if raw, err := hex.DecodeString(sum); !ok || err != nil || len(raw) != sha256.Size {
		return ""
	}
	return subject
}

// contentSize is what the server's limit is for.
func contentSize(msg *natsgo.Msg) int64 {
	return int64(msg.Size() - len(msg.Subject) - len(msg.Reply))
}

// join gives a dead letter that was parted its whole body.
func (d *Driver) join(ctx context.Context, raw *jetstream.RawStreamMsg) error {
	subject := restOf(raw.Header)
	if subject == "" {
		return nil
	}
	rest, err := d.streams.handle(deadStream).GetLastMsgForSubject(ctx, subject)
	if err != nil {
		return fmt.Errorf("the end of dead letter %s, in %s: %w", raw.Subject, subject, err)
	}
	raw.Data = slices.Concat(raw.Data, rest.Data)
	return nil
}

// ownHeader copies what is not the server's own: when a message is read, it
// adds where it was stored, and would believe that of the next one.
func ownHeader(header natsgo.Header) natsgo.Header {
	own := make(natsgo.Header, len(header)+2)
	for name, values := range header {
		if !strings.HasPrefix(name, "Nats-") {
			own[name] = values
		}
	}
	return own
}

func (l *letter) write(header natsgo.Header) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	header[deadHeader] = []string{string(text)}
	return nil
}

// revivedAs returns the dead letter that a message was before it was retried,
// the zero value when it was none.
func revivedAs(msg *natsgo.Msg) letter {
	text := headerOf(msg, deadHeader)
	if text == "" {
		return letter{}
	}
	var l letter
	_ = json.Unmarshal([]byte(text), &l) // of a foreign sender, it means nothing
	return l
}

// DeadLetters implements broker.Broker. Loops don't wait for each other.
func (d *Driver) DeadLetters(ctx context.Context, f broker.DeadLetterFilter) iter.Seq2[*broker.HeldLetter, error] {
	return func(yield func(*broker.HeldLetter, error) bool) {
		for stored, err := range d.storedDead(ctx, f) {
			if err != nil {
				yield(nil, fmt.Errorf("nats: read %s: %w", deadStream, d.readError(err)))
				return
			}
			if strings.HasPrefix(stored.Subject, restPrefix) {
				continue // no letter
			}
			if err := d.join(ctx, stored); err != nil {
				d.log.Warn("a dead letter is not whole", "error", err)
			}
			if held := d.hold(stored); f.Picks(&held.DeadLetter) && !yield(held, nil) {
				return
			}
		}
	}
}

// readError names a closed driver as such.
func (d *Driver) readError(err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		d.link.repair()
	}
	if errors.Is(err, natsgo.ErrConnectionClosed) {
		return errClosed
	}
	return err
}

// storedDead yields at least the dead letters that f picks.
func (d *Driver) storedDead(ctx context.Context, f broker.DeadLetterFilter) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		err := d.usable(ctx)
		switch {
		case err != nil:
		case len(f.IDs) > 0:
			err = d.findDead(ctx, f.IDs, yield)
		default:
			err = d.scanDead(ctx, f, yield)
		}
		if err != nil && !errors.Is(err, errEnough) {
			yield(nil, err)
		}
	}
}

// errEnough says that a loop was broken off.
var errEnough = errors.New("enough")

func (d *Driver) findDead(ctx context.Context, ids []string, yield func(*jetstream.RawStreamMsg, error) bool) error {
	stream := d.streams.handle(deadStream)
	for _, id := range ids {
		from, option := uint64(1), jetstream.WithGetMsgSubject(deadPrefix+"*.*."+token(id))
		if text, foreign := strings.CutPrefix(id, sequencePrefix); foreign {
			from, _ = strconv.ParseUint(text, 10, 64)
			option = jetstream.WithGetMsgSubject(deadPrefix + ">")
		}
		raw, err := stream.GetMsg(ctx, from, option)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
		case err != nil:
			return err
		case !yield(raw, nil):
			return errEnough
		}
	}
	return nil
}

// scanDead reads the stream page by page, to where it ends when it begins.
func (d *Driver) scanDead(ctx context.Context, f broker.DeadLetterFilter, yield func(*jetstream.RawStreamMsg, error) bool) error {
	info, err := d.streams.handle(deadStream).Info(ctx)
	if err != nil {
		return err
	}
	config := jetstream.ConsumerConfig{
		Description:       "Enoki: somebody reads dead letters",
		FilterSubject:     deadSubjects(f.Service, f.Handler),
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: time.Minute,
		MemoryStorage:     true,
		Replicas:          1,
	}
	if !f.Since.IsZero() {
		since := f.Since.Add(-clockSlack)
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, &since
	}
	for {
		page, err := d.readDead(ctx, config)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, raw := range page {
			if raw.Sequence > info.State.LastSeq || !f.Until.IsZero() && raw.Time.After(f.Until.Add(clockSlack)) {
				return nil
			}
			if !yield(raw, nil) {
				return errEnough
			}
		}
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartSequencePolicy, nil
		config.OptStartSeq = page[len(page)-1].Sequence + 1
	}
}

// readDead reads a page by a consumer of its own, which a restart of the
// broker in between can't make forget where it was.
func (d *Driver) readDead(ctx context.Context, config jetstream.ConsumerConfig) ([]*jetstream.RawStreamMsg, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	consumer, err := d.js.CreateConsumer(ctx, deadStream, config)
	if err != nil {
		return nil, err
	}
	info := consumer.CachedInfo()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		_ = d.js.DeleteConsumer(ctx, deadStream, info.Name) // it goes by itself after a while
	}()
	want := int(min(info.NumPending, deadPage))
	if want == 0 {
		return nil, nil
	}
	batch, err := consumer.Fetch(want, jetstream.FetchMaxWait(apiTimeout))
	if err != nil {
		return nil, err
	}
	page := make([]*jetstream.RawStreamMsg, 0, want)
	for msg := range batch.Messages() {
		meta, err := msg.Metadata()
		if err != nil {
			return nil, err
		}
		page = append(page, &jetstream.RawStreamMsg{Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data(),
			Sequence: meta.Sequence.Stream, Time: meta.Timestamp})
	}
	if err := batch.Error(); err != nil {
		return nil, err
	}
	if len(page) > 0 { // the rest comes with the next page
		return page, nil
	}
	if info, err = consumer.Info(ctx); err == nil && info.NumPending > 0 { // otherwise others were faster to retry or discard them
		err = fmt.Errorf("%d dead letters did not come within %v", info.NumPending, apiTimeout)
	}
	return nil, err
}

// hold reads a stored dead letter. One that somebody else has put there is
// shown as far as it can be.
func (d *Driver) hold(raw *jetstream.RawStreamMsg) *broker.HeldLetter {
	msg := &natsgo.Msg{Subject: raw.Subject, Header: raw.Header, Data: raw.Data}
	l, err := readLetter(msg, raw.Time)
	if err != nil {
		d.log.Warn("a dead letter does not say why it died", "stream", deadStream, "sequence", raw.Sequence, "error", err)
	}
	if l.ID == "" || deadSubject(l.Service, l.Handler, l.ID) != raw.Subject {
		l.ID = sequencePrefix + strconv.FormatUint(raw.Sequence, 10)
	}
	l.Message = d.readDeadMessage(msg)
	l.Message.Attempt = l.Attempts
	held := &broker.HeldLetter{DeadLetter: l.DeadLetter}
	held.Retry = func(ctx context.Context) error { return d.retry(ctx, raw, l, held.Message) }
	held.Discard = func(ctx context.Context) error { return d.discard(ctx, raw) }
	return held
}

// readLetter reads what the header of a dead letter says. With an error it is
// what can be said without.
func readLetter(msg *natsgo.Msg, stored time.Time) (letter, error) {
	bare := letter{DeadLetter: broker.DeadLetter{Reason: "unknown: " + msg.Subject, First: stored, Died: stored}}
	l := bare
	if err := json.Unmarshal([]byte(headerOf(msg, deadHeader)), &l); err != nil {
		return bare, err
	}
	return l, nil
}

// readDeadMessage reads the message of a dead letter, or its body alone.
func (d *Driver) readDeadMessage(msg *natsgo.Msg) *broker.Message {
	var failed error
	m := func() *broker.Message {
		defer d.guard("a dead letter", msg.Subject, &failed)
		return decode(msg, d.log)
	}()
	if failed != nil {
		m = &broker.Message{ContentType: headerOf(msg, typeHeader), Body: msg.Data}
	}
	return m
}

// retry sends a dead letter back and then deletes it. Whoever retries it at
// the same time sends a message with the same id, of which the broker keeps
// one, or finds the letter gone.
func (d *Driver) retry(ctx context.Context, raw *jetstream.RawStreamMsg, l letter, edited *broker.Message) error {
	what := fmt.Sprintf("nats: retry dead letter %s of %s.%s", l.ID, l.Service, l.Handler)
	if err := d.stillDead(ctx, raw); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	msg, err := l.revive(raw, edited)
	if err == nil && l.Event == "" {
		err = d.callAgain(ctx, l, msg)
	} else if err == nil {
		err = d.emitAgain(ctx, l, msg)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := d.forget(ctx, raw); err != nil && !errors.Is(err, broker.ErrGone) {
		return fmt.Errorf("%s: it went back, but is still there: %w: %w", what, broker.ErrUnknownOutcome, err)
	}
	return nil
}

// stillDead looks at a dead letter again, because its loop may have read it
// long ago.
func (d *Driver) stillDead(ctx context.Context, raw *jetstream.RawStreamMsg) error {
	if err := d.usable(ctx); err != nil {
		return err
	}
	now, err := d.streams.handle(deadStream).GetMsg(ctx, raw.Sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && now.Subject != raw.Subject {
		return broker.ErrGone
	}
	return d.readError(err)
}

// revive makes the message that goes back.
func (l letter) revive(raw *jetstream.RawStreamMsg, edited *broker.Message) (*natsgo.Msg, error) {
	header := ownHeader(raw.Header)
	delete(header, typeHeader)
	delete(header, restHeader)
	if edited.ContentType != "" {
		header[typeHeader] = []string{edited.ContentType}
	}
	l.Revived++
	return &natsgo.Msg{Header: header, Data: edited.Body}, l.write(header)
}

// emitAgain sends an event for one consumer; others of it pass it over. The
// broker drops an event that no consumer wants, so that one must be there
// before and after.
func (d *Driver) emitAgain(ctx context.Context, l letter, msg *natsgo.Msg) error {
	if l.Consumer == "" {
		return fmt.Errorf("%w: it does not say which handler it came from", broker.ErrNotDelivered)
	}
	before, err := d.consumerOf(ctx, l)
	if err != nil {
		return err
	}
	msg.Subject = eventSubject(l.Source, l.Event)
	// Of the consumer too: what was sent to one that is gone was dropped, and
	// must not make the broker drop what is sent to the next.
	msg.Header[jetstream.MsgIDHeader] = []string{fmt.Sprintf("retry/%s/%d", l.ID, before.Created.UnixNano())}
	if err := d.store(ctx, msg); err != nil {
		return err
	}
	after, err := d.consumerOf(ctx, l)
	if err == nil && !after.Created.Equal(before.Created) {
		err = fmt.Errorf("%w: its subscription was made anew meanwhile", broker.ErrUnknownOutcome)
	}
	return err
}

func (d *Driver) consumerOf(ctx context.Context, l letter) (*jetstream.ConsumerInfo, error) {
	stream, err := d.js.StreamNameBySubject(ctx, eventSubject(l.Source, l.Event))
	var consumer jetstream.Consumer
	if err == nil {
		consumer, err = d.js.Consumer(ctx, stream, l.Consumer)
	}
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%w: its subscription is not there any more; discard it, or start the service that has it", broker.ErrNotDelivered)
	}
	if err != nil {
		return nil, d.readError(err)
	}
	return consumer.CachedInfo(), nil
}

// callAgain sends a call and waits until it is handled, or is a dead letter
// again: calls are not stored. What the reply says was for nobody before and is
// for nobody now.
func (d *Driver) callAgain(ctx context.Context, l letter, msg *natsgo.Msg) error {
	msg.Subject = callSubject(l.Service, l.Handler)
	reply, err := d.call(ctx, l.Service, msg)
	if err == nil && statusOf(reply) == noResponders {
		err = fmt.Errorf("%w: no instance of %s is there to take it; start one", broker.ErrNotDelivered, l.Service)
	}
	return err
}

func (d *Driver) discard(ctx context.Context, raw *jetstream.RawStreamMsg) error {
	err := d.stillDead(ctx, raw)
	if err == nil {
		err = d.forget(ctx, raw)
	}
	if err != nil {
		return fmt.Errorf("nats: discard a dead letter of %s: %w", deadStream, err)
	}
	return nil
}

// forget deletes a dead letter, and what is left of one that was parted.
func (d *Driver) forget(ctx context.Context, raw *jetstream.RawStreamMsg) error {
	err := d.streams.handle(deadStream).DeleteMsg(ctx, raw.Sequence)
	if rest := restOf(raw.Header); err == nil && rest != "" {
		if err := d.streams.handle(deadStream).Purge(ctx, jetstream.WithPurgeSubject(rest)); err != nil {
			d.log.Warn("the end of a dead letter that is gone stays", "subject", rest, "error", err)
		}
	}
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		if gone := d.stillDead(ctx, raw); gone != nil {
			return gone
		}
	}
	return d.readError(err)
}
