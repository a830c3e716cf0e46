package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/internal/uuid"
)

// attempts is what ENOKI_ATTEMPTS stores for one event and consumer.
type attempts struct {
	ID       string        `json:"id"`       // the event's id, in case the stream began anew
	Attempts int           `json:"attempts"` // how many attempts were settled with Retry
	Due      time.Time     `json:"due"`      // when the next attempt may start
	Delay    time.Duration `json:"delay"`    // the delay of the Retry, in ns
	First    time.Time     `json:"first"`    // when the first attempt began

	// Delivery is the last delivery with a known outcome, by JetStream's count.
	// Starts are the later starts that were noted before they began, see
	// broker.AttemptsAlone.
	Delivery uint64 `json:"delivery,omitempty"`
	Starts   int    `json:"starts,omitempty"`
}

// wait returns how long the next attempt still has to wait. If that is more
// than the delay itself, the clocks of two machines differ, and it returns 0.
func (a attempts) wait() time.Duration {
	left := time.Until(a.Due)
	if left > a.Delay {
		return 0
	}
	return left
}

// countAttempt stores a, in place of what was stored for the event and
// consumer.
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

// pastAttempts returns what is stored for the event with this id.
func (d *Driver) pastAttempts(ctx context.Context, consumer string, sequence uint64, id string) (attempts, error) {
	raw, err := d.streams.handle(attemptStream).GetLastMsgForSubject(ctx, attemptSubject(consumer, sequence))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return attempts{}, nil
	}
	if err != nil {
		d.link.repair() // the stream may be gone
		return attempts{}, err
	}
	a, err := readAttempts(raw.Data)
	if err != nil { // a foreign program wrote it; it would hold the event for ever
		d.log.Warn("what is known of the attempts at an event can't be read; it counts for nothing",
			"stream", attemptStream, "sequence", raw.Sequence, "error", err)
		return attempts{}, nil
	}
	if a.ID != id {
		return attempts{}, nil
	}
	return a, nil
}

func readAttempts(data []byte) (attempts, error) {
	var a attempts
	if err := json.Unmarshal(data, &a); err != nil {
		return attempts{}, err
	}
	if !isCount(a.Attempts) || !isCount(a.Starts) {
		return attempts{}, fmt.Errorf("%d attempts and %d starts are no counts", a.Attempts, a.Starts)
	}
	return a, nil
}

func isCount(n int) bool { return 0 <= n && n <= math.MaxInt32 }
