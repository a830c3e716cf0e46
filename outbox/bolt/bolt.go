// Package bolt keeps an outbox and an inbox in a bbolt file, the user's own:
//
//	enoki_outbox        number (8 bytes, big endian) to the JSON of a record
//	enoki_inbox         key of an event to the time it was handled (8 bytes, seconds)
//	enoki_inbox_times   that time and the key, in the order of time
//
// One process at a time can have the file open.
package bolt

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/enoki-go/enoki/outbox"
)

var outboxBucket = []byte("enoki_outbox")

// batch is how many records are read, and forgotten, in one transaction.
const batch = 100

// Store is an outbox in a bbolt file. It may be used concurrently.
type Store struct {
	db    *bbolt.DB
	added chan struct{}

	relaying sync.Mutex // held by Relay
}

var _ outbox.Store[*bbolt.Tx] = (*Store)(nil)

// New returns the outbox in db. The caller closes db after what uses the
// outbox has stopped.
func New(db *bbolt.DB) *Store {
	return &Store{db: db, added: make(chan struct{}, 1)}
}

// Put implements outbox.Store.
func (s *Store) Put(_ context.Context, tx *bbolt.Tx, r outbox.Record) error {
	b, err := tx.CreateBucketIfNotExists(outboxBucket)
	if err != nil {
		return err
	}
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	tx.OnCommit(s.wake)
	return b.Put(binary.BigEndian.AppendUint64(nil, n), text)
}

func (s *Store) wake() {
	select {
	case s.added <- struct{}{}:
	default:
	}
}

// Added implements outbox.Store.
func (s *Store) Added() <-chan struct{} { return s.added }

// Relay implements outbox.Store.
func (s *Store) Relay(ctx context.Context, emit func(ctx context.Context, r outbox.Record) error) error {
	if !s.relaying.TryLock() {
		return nil
	}
	defer s.relaying.Unlock()
	for {
		waiting, err := s.oldest()
		if err != nil || len(waiting) == 0 {
			return err
		}
		emitted, emitErr := emitAll(ctx, waiting, emit)
		if err := s.forget(waiting[:emitted]); err != nil {
			return err
		}
		if emitErr != nil {
			return emitErr
		}
	}
}

// item is a record as it stands in the file.
type item struct{ key, value []byte }

func (s *Store) oldest() (waiting []item, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(outboxBucket)
		if b == nil {
			return nil
		}
		c := b.Cursor()
		for k, v := c.First(); k != nil && len(waiting) < batch; k, v = c.Next() {
			// The bytes belong to the transaction, so they are copied.
			waiting = append(waiting, item{append([]byte(nil), k...), append([]byte(nil), v...)})
		}
		return nil
	})
	return waiting, err
}

func emitAll(ctx context.Context, waiting []item, emit func(ctx context.Context, r outbox.Record) error) (emitted int, err error) {
	for i, w := range waiting {
		var r outbox.Record
		if err := json.Unmarshal(w.value, &r); err != nil {
			return i, fmt.Errorf("record %x of bucket %s can't be read; look at it, and remove it: %w", w.key, outboxBucket, err)
		}
		if err := emit(ctx, r); err != nil {
			return i, err
		}
	}
	return len(waiting), nil
}

func (s *Store) forget(emitted []item) error {
	if len(emitted) == 0 {
		return nil
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(outboxBucket)
		for _, e := range emitted {
			if err := b.Delete(e.key); err != nil {
				return err
			}
		}
		return nil
	})
}
