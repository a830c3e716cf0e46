package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/broker"
)

// maxReason is the most of a reason that a dead letter keeps, in bytes; with
// names and the rest it stays within deadReserve.
const maxReason = 1024

// bury stores msg as a dead letter and returns when the broker has it. The id
// keeps a letter that is buried twice from being there twice.
func (d *Driver) bury(ctx context.Context, letter broker.DeadLetter, msg *natsgo.Msg, id string) error {
	if len(letter.Reason) > maxReason {
		letter.Reason = strings.ToValidUTF8(letter.Reason[:maxReason], "") + "…"
	}
	text, err := json.Marshal(letter)
	if err != nil {
		return err
	}
	header := maps.Clone(msg.Header)
	if header == nil {
		header = natsgo.Header{}
	}
	header[deadHeader] = []string{string(text)}
	header[jetstream.MsgIDHeader] = []string{id}
	return d.store(ctx, &natsgo.Msg{Subject: deadSubject(letter.Service, letter.Handler), Header: header, Data: msg.Data})
}

// DeadLetters implements broker.Broker.
func (d *Driver) DeadLetters(ctx context.Context, limit int) ([]broker.DeadLetter, error) {
	if err := d.usable(ctx); err != nil {
		return nil, err
	}
	letters := []broker.DeadLetter{}
	stream := d.streams.handle(deadStream)
	for next := uint64(1); len(letters) < limit; {
		raw, err := stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(deadPrefix+">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return letters, nil
		}
		if err != nil {
			return nil, fmt.Errorf("nats: read %s: %w", deadStream, d.readError(err))
		}
		letters = append(letters, d.letter(raw))
		next = raw.Sequence + 1
	}
	return letters, nil
}

// readError names a closed driver as such.
func (d *Driver) readError(err error) error {
	if errors.Is(err, natsgo.ErrConnectionClosed) {
		return errClosed
	}
	return err
}

// letter reads a stored dead letter. One that somebody else has put there is
// shown as far as it can be.
func (d *Driver) letter(raw *jetstream.RawStreamMsg) broker.DeadLetter {
	msg := &natsgo.Msg{Subject: raw.Subject, Header: raw.Header, Data: raw.Data}
	letter := broker.DeadLetter{Reason: "unknown: " + raw.Subject, Died: raw.Time}
	if err := json.Unmarshal([]byte(headerOf(msg, deadHeader)), &letter); err != nil {
		d.log.Warn("a dead letter does not say why it died", "stream", deadStream, "sequence", raw.Sequence, "error", err)
	}
	letter.Message = decode(msg, d.log)
	letter.Message.Attempt = letter.Attempt
	return letter
}
