package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"github.com/enoki-go/enoki"
)

var (
	inboxBucket = []byte("enoki_inbox")
	timesBucket = []byte("enoki_inbox_times")
)

const (
	// remembered is how long an inbox remembers an event.
	remembered = 24 * time.Hour

	// forgetMost is how many old keys are removed for each event. It is more than
	// an event adds.
	forgetMost = 4
)

// PerCall returns a writing transaction for each piece of work of a service. It
// is committed if the handler succeeds and rolled back if it fails. bbolt has
// only one such transaction at a time, so the handlers that use it run one
// after another.
func PerCall(db *bbolt.DB) *enoki.PerCall[*bbolt.Tx] {
	return enoki.NewPerCall(
		func(context.Context) (*bbolt.Tx, error) { return db.Begin(true) },
		func(_ context.Context, tx *bbolt.Tx, outcome error) error {
			if outcome == nil {
				return tx.Commit()
			}
			return tx.Rollback()
		})
}

// Inbox notes in a handler's transaction which event the handler has handled.
// Set it as Once of an [enoki.Subscription]. An event that comes again within
// 24 h has no second effect. An Inbox may be used concurrently.
type Inbox struct {
	tx *enoki.PerCall[*bbolt.Tx]
}

var _ enoki.Inbox = (*Inbox)(nil)

// NewInbox returns an inbox that writes in the transaction of tx. The service
// must have declared tx, and its handlers must write in it too.
func NewInbox(tx *enoki.PerCall[*bbolt.Tx]) *Inbox { return &Inbox{tx} }

// Once implements enoki.Inbox.
func (i *Inbox) Once(ctx context.Context, key string, do func(ctx context.Context) error) error {
	tx, err := i.tx.Get(ctx)
	if err != nil {
		return err
	}
	known, err := note(tx, key, time.Now())
	if err != nil || known {
		return err
	}
	return do(ctx)
}

// note adds a key unless it exists, and forgets old keys.
func note(tx *bbolt.Tx, key string, now time.Time) (known bool, err error) {
	keys, keysErr := tx.CreateBucketIfNotExists(inboxBucket)
	times, timesErr := tx.CreateBucketIfNotExists(timesBucket)
	if err := errors.Join(keysErr, timesErr); err != nil {
		return false, err
	}
	if keys.Get([]byte(key)) != nil {
		return true, nil
	}
	if err := forget(keys, times, now.Add(-remembered)); err != nil {
		return false, err
	}
	at := binary.BigEndian.AppendUint64(nil, uint64(now.Unix()))
	return false, errors.Join(keys.Put([]byte(key), at), times.Put(append(at, key...), nil))
}

// forget removes the oldest keys from before a time. The keys of times begin
// with the time, so the oldest one is first.
func forget(keys, times *bbolt.Bucket, before time.Time) error {
	limit := uint64(before.Unix())
	for range forgetMost {
		oldest, _ := times.Cursor().First()
		if oldest == nil || binary.BigEndian.Uint64(oldest) >= limit {
			return nil
		}
		if err := errors.Join(keys.Delete(oldest[8:]), times.Delete(oldest)); err != nil {
			return err
		}
	}
	return nil
}
