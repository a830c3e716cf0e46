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
	// deadReserve is how much smaller than the server's limit an event must
	// be, in bytes, so that it can still become a dead letter, which says more.
	deadReserve = 4096

	// storePause is the time between two attempts while a stream has no leader
	// or is being created again.
	storePause = 100 * time.Millisecond

	// storeAttempts is how often a stream that does not answer is tried, if the
	// context does not end first: 5 s.
	storeAttempts = 50
)

// Emit implements broker.Broker. When the link is lost before the broker has
// confirmed, it sends again as soon as the link is back; the broker drops what
// it has already, for two minutes.
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

// deliver stores an event for those who subscribe to it. Whoever subscribes
// makes the stream of its source, so without one there is nobody to store it
// for. A stream that was there and is gone gets some time to be made again.
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

// subscribed tells whether there is a stream for subject.
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
		return true, nil // who may not ask has to try
	case err != nil && !errors.Is(err, broker.ErrClosed):
		err = fmt.Errorf("%w: can't tell whether there is a stream for %s: %w", broker.ErrNotDelivered, subject, err)
	}
	return there, err
}

// CheckEvent implements broker.Broker. The limit is that of the server that the
// link was last connected to.
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

// setMsgID gives msg the id by which the broker tells an event that it has
// already. The subject belongs to it: the same id for two events must not make
// the broker drop the second.
func setMsgID(msg *natsgo.Msg) {
	msg.Header[jetstream.MsgIDHeader] = []string{msg.Subject + "/" + headerOf(msg, idHeader)}
}

// store publishes msg to a stream and waits for the confirmation. The message
// needs an id for the broker, because store may send it more than once. Errors
// are those of Emit.
func (d *Driver) store(ctx context.Context, msg *natsgo.Msg) error {
	sent := false // by an earlier try, which may have got there
	for try := 1; ; try++ {
		answer, err := d.request(ctx, msg, true)
		switch {
		case errors.Is(err, errBroken), errors.Is(err, errUnanswered):
			sent = true
			if ctx.Err() == nil {
				continue // lost with the link, or swallowed by a stream that was deleted or moved just then
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

// errNoStream: no stream has answered for long.
var errNoStream = errors.New("is JetStream well?")

// unanswered is the error of a message that nobody has taken at last.
func unanswered(subject string, sent bool, why error) error {
	err := fmt.Errorf("%w: the stream for %s does not answer: %w", broker.ErrNotDelivered, subject, why)
	if sent {
		return unconfirmed(err)
	}
	return err
}

// unconfirmed is the error of what was sent, and may be stored or not. Why
// there is no more to tell, say an unreachable broker, must not read as if
// nothing had been sent.
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

// tooLargeForStream is JetStream's code for a message over the limit that an
// operator has given a stream.
const tooLargeForStream jetstream.ErrorCode = 10054

// fullError: there is no room in a stream.
type fullError struct {
	stream string
	reason error
	holder string // what holds it back, and what to do
}

func (e *fullError) Error() string {
	return fmt.Sprintf("%v: stream %s has no room for it: %s: %v", broker.ErrNotDelivered, e.stream, e.holder, e.reason)
}

func (e *fullError) Unwrap() []error { return []error{broker.ErrNotDelivered, e.reason} }

// explain adds to the error of a full stream what holds it back.
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

// isPlainConfirmation tells whether an answer is what nearly all are,
// {"stream":"NAME", "seq":1}, which spares package json.
func isPlainConfirmation(data []byte) bool {
	name, ok := bytes.CutPrefix(data, []byte(`{"stream":"`))
	return ok && len(name) > 0 && name[0] != '"' && !bytes.Contains(name, []byte(`"error"`)) && json.Valid(data)
}
