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
	// remembered is how long an inbox knows what was handled.
	remembered = 24 * time.Hour

	// forgetMost is how many older keys one event sweeps out: more than it
	// adds.
	forgetMost = 4
)

// PerCall returns a transaction that writes, for each piece of work of a
// service: committed when its handler succeeds, rolled back when it fails.
// bbolt has one such transaction at a time, so handlers that use it run one
// after the other.
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

// Inbox notes in the transaction of a handler which event it handles. Give it
// as Once of a [enoki.Subscription]; an event that comes again within 24 h has no second effect.
// It may be used concurrently.
type Inbox struct {
	tx *enoki.PerCall[*bbolt.Tx]
}

var _ enoki.Inbox = (*Inbox)(nil)

// NewInbox returns an inbox that writes in the transaction of tx, which the
// service must have declared, and whose handlers write by too.
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

// note adds a key unless it is there, and forgets old ones.
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

// forget removes the oldest keys that were noted before a time. The keys of
// times begin with the time, so the oldest is the first.
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
