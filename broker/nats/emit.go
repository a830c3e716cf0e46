package nats

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker"
)

const (
	// deadReserve is how many bytes an event must be smaller than the server's
	// limit. It can then still become a dead letter, which has more headers.
	deadReserve = 4096

	// storePause is the pause between two attempts while a stream has no leader or
	// is being created again.
	storePause = 100 * time.Millisecond

	// storeAttempts bounds the attempts at a stream that does not answer, if the
	// context does not end first: 5 s.
	storeAttempts = 50
)

// Emit implements broker.Broker. If the link is lost before the broker has
// confirmed, it sends the event again once the link is back. The broker drops
// an event that it has received within the last two minutes.
func (d *Driver) Emit(ctx context.Context, source, event string, m *broker.Message) error {
	if err := d.usable(ctx); err != nil {
		return err
	}
	msg, err := d.event(source, event, m)
	if err != nil {
		return err
	}
	setMsgID(msg)
	if time.Until(m.Due) > 0 {
		d.postpone(msg, m.Due)
		if err = d.laterRoom.take(ctx, d, laterShare(source), contentSize(msg)); err == nil {
			err = d.store(ctx, msg)
		}
	} else {
		err = d.deliver(ctx, source, msg)
	}
	if err != nil {
		return fmt.Errorf("nats: emit %s.%s: %w", source, event, err)
	}
	return nil
}

// deliver stores an event for its subscriptions. A source's first subscriber
// creates its stream, so without a stream there is no subscription. If the
// stream existed before, deliver waits for some time until it is created again.
func (d *Driver) deliver(ctx context.Context, source string, msg *natsgo.Msg) error {
	for {
		if _, known := d.emitted.Load(source); !known {
			there, err := d.subscribed(ctx, msg.Subject)
			if err != nil || !there {
				return err
			}
			d.emitted.Store(source, struct{}{})
		}
		err := d.store(ctx, msg)
		if !errors.Is(err, errNoStream) {
			return err
		}
		d.emitted.Delete(source)
		if there, look := d.subscribed(ctx, msg.Subject); look != nil || there { // one that does not answer
			return err
		}
	}
}

// subscribed reports whether there is a stream for subject.
func (d *Driver) subscribed(ctx context.Context, subject string) (there bool, err error) {
	err = d.insist(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, apiTimeout)
		defer cancel()
		_, err := d.js.StreamNameBySubject(ctx, subject)
		there = err == nil
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		return err
	})
	switch {
	case errors.Is(err, natsgo.ErrPermissionViolation):
		return true, nil // without the permission to ask, it has to try
	case err != nil && !errors.Is(err, broker.ErrClosed):
		err = fmt.Errorf("%w: can't tell whether there is a stream for %s: %w", broker.ErrNotDelivered, subject, err)
	}
	return there, err
}

// CheckEvent implements broker.Broker. The limit is that of the server to which
// the link was last connected.
func (d *Driver) CheckEvent(source, event string, m *broker.Message) error {
	_, err := d.event(source, event, m)
	return err
}

// event returns an event as it is sent, or an error that is broker.ErrInvalid.
func (d *Driver) event(source, event string, m *broker.Message) (*natsgo.Msg, error) {
	msg, err := encode(eventSubject(source, event), m)
	if limit := d.link.nc.MaxPayload() - deadReserve; err == nil && int64(msg.Size()) > limit {
		err = d.tooLarge(msg, limit)
	}
	if err == nil && contentSize(msg)-int64(len(msg.Data)) > maxHeader-deadReserve {
		err = fmt.Errorf("%w: context data and content type take %d bytes, over JetStream's limit of %d: put less into the context",
			broker.ErrInvalid, contentSize(msg)-int64(len(msg.Data)), maxHeader-deadReserve)
	}
	if err != nil {
		return nil, fmt.Errorf("nats: emit %s.%s: %w", source, event, err)
	}
	return msg, nil
}

// setMsgID sets the id by which the broker recognises an event that it already
// has. The id contains the subject, so that two events with the same id are not
// taken for one.
func setMsgID(msg *natsgo.Msg) {
	msg.Header[jetstream.MsgIDHeader] = []string{msg.Subject + "/" + headerOf(msg, idHeader)}
}

// store publishes msg to a stream and waits for the confirmation. The message
// needs an id for the broker, because store may send it more than once. The
// errors are those of Emit.
func (d *Driver) store(ctx context.Context, msg *natsgo.Msg) error {
	sent := false // by an earlier attempt, which may have arrived
	for try := 1; ; try++ {
		answer, err := d.request(ctx, msg, true)
		switch {
		case errors.Is(err, errBroken), errors.Is(err, errUnanswered):
			sent = true
			if ctx.Err() == nil {
				continue // lost with the link, or by a stream that was just deleted or moved
			}
			return unconfirmed(ctx.Err())
		case err != nil && sent && !errors.Is(err, broker.ErrClosed):
			return unconfirmed(err)
		case err != nil:
			return err
		case statusOf(answer) != noResponders:
			return d.explain(ctx, confirmation(answer))
		}
		d.link.repair()
		if err = sleep(ctx, storePause); err == nil && try == storeAttempts {
			err = errNoStream
		}
		if err != nil {
			return unanswered(msg.Subject, sent, err)
		}
	}
}

// errNoStream: no stream has answered for a long time.
var errNoStream = errors.New("is JetStream well?")

// unanswered returns the error of a message that no stream has taken.
func unanswered(subject string, sent bool, why error) error {
	err := fmt.Errorf("%w: the stream for %s does not answer: %w", broker.ErrNotDelivered, subject, why)
	if sent {
		return unconfirmed(err)
	}
	return err
}

// unconfirmed returns the error of a message that was sent and may be stored or
// not. The reason, such as an unreachable broker, must not look as if nothing
// had been sent.
func unconfirmed(why error) error {
	if errors.Is(why, broker.ErrNotDelivered) {
		return fmt.Errorf("%w: sent, but not confirmed by JetStream: %s", broker.ErrUnknownOutcome, why) //nolint:errorlint // see above
	}
	return fmt.Errorf("%w: sent, but not confirmed by JetStream in time: %w", broker.ErrUnknownOutcome, why)
}

// confirmation reads JetStream's answer to a publish.
func confirmation(answer *natsgo.Msg) error {
	if isPlainConfirmation(answer.Data) {
		return nil
	}
	var ack struct {
		Stream string              `json:"stream"`
		Error  *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil || ack.Stream == "" && ack.Error == nil {
		return fmt.Errorf("%w: JetStream's confirmation can't be read: %q", broker.ErrUnknownOutcome, answer.Data)
	}
	switch {
	case ack.Error == nil:
		return nil
	case slices.Contains(full, ack.Error.ErrorCode):
		return &fullError{stream: ack.Stream, reason: ack.Error}
	case ack.Error.ErrorCode == tooLargeForStream:
		return fmt.Errorf("%w: raise the stream's max_msg_size, or send less: %w", broker.ErrInvalid, ack.Error)
	}
	return fmt.Errorf("%w: JetStream refuses it: %w", broker.ErrNotDelivered, ack.Error)
}

// full are JetStream's codes for a stream, an account and a server at their
// limit.
var full = []jetstream.ErrorCode{10077, 10002, 10023}

// tooLargeForStream is JetStream's code for a message above the limit that an
// operator has set for a stream.
const tooLargeForStream jetstream.ErrorCode = 10054

// fullError: a stream has no room.
type fullError struct {
	stream string
	reason error
	holder string // what fills the stream, and what to do
}

func (e *fullError) Error() string {
	return fmt.Sprintf("%v: stream %s has no room for it: %s: %v", broker.ErrNotDelivered, e.stream, e.holder, e.reason)
}

func (e *fullError) Unwrap() []error { return []error{broker.ErrNotDelivered, e.reason} }

// explain adds to the error of a full stream what fills it.
func (d *Driver) explain(ctx context.Context, err error) error {
	var e *fullError
	if !errors.As(err, &e) {
		return err
	}
	switch e.stream {
	case deadStream:
		e.holder = "discard or retry dead letters"
	case laterStream, attemptStream, lockStream:
		e.holder = "the server is full"
	default:
		e.holder = d.holdsBack(ctx, e.stream)
	}
	return e
}

// isPlainConfirmation reports whether an answer is {"stream":"NAME", "seq":1}.
// Nearly all are, which saves the use of package json.
func isPlainConfirmation(data []byte) bool {
	name, ok := bytes.CutPrefix(data, []byte(`{"stream":"`))
	return ok && len(name) > 0 && name[0] != '"' && !bytes.Contains(name, []byte(`"error"`)) && json.Valid(data)
}
