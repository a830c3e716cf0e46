package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/internal/uuid"
)

// attempts is what ENOKI_ATTEMPTS knows of one event and consumer.
type attempts struct {
	ID       string        `json:"id"`       // of the event, in case the stream began anew
	Attempts int           `json:"attempts"` // how many were settled with Retry
	Due      time.Time     `json:"due"`      // when the next may start
	Delay    time.Duration `json:"delay"`    // that was asked for, in ns
	First    time.Time     `json:"first"`    // when the first of them began

	// Delivery is the last one whose outcome is known, by JetStream's count, and
	// Starts those after it that were noted before they began, see
	// broker.TriesAlone.
	Delivery uint64 `json:"delivery,omitempty"`
	Starts   int    `json:"starts,omitempty"`
}

// wait returns how long the next attempt has to wait yet. More than the delay
// itself means that the clocks of two machines differ, and counts as nothing.
func (a attempts) wait() time.Duration {
	left := time.Until(a.Due)
	if left > a.Delay {
		return 0
	}
	return left
}

// countAttempt stores a, replacing what was known of the event and consumer.
func (d *Driver) countAttempt(ctx context.Context, consumer string, sequence uint64, a attempts) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return d.store(ctx, &natsgo.Msg{
		Subject: attemptSubject(consumer, sequence),
		Header:  natsgo.Header{jetstream.MsgIDHeader: []string{uuid.New()}},
		Data:    body,
	})
}

// pastAttempts returns what is known of the event with this id.
func (d *Driver) pastAttempts(ctx context.Context, consumer string, sequence uint64, id string) (attempts, error) {
	raw, err := d.streams.handle(attemptStream).GetLastMsgForSubject(ctx, attemptSubject(consumer, sequence))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return attempts{}, nil
	}
	if err != nil {
		d.link.repair() // the stream may be gone
		return attempts{}, err
	}
	var a attempts
	if err := json.Unmarshal(raw.Data, &a); err != nil {
		return attempts{}, fmt.Errorf("sequence %d of %s: %w", raw.Sequence, attemptStream, err)
	}
	if a.ID != id {
		return attempts{}, nil
	}
	return a, nil
}
