// Package bolt keeps an outbox and an inbox in the user's own bbolt file:
//
//	enoki_outbox        number (8 bytes, big endian) to the JSON of a record
//	enoki_outbox_dead   number to the refused value of enoki_outbox and the reason, in JSON
//	enoki_inbox         key of an event to the time it was handled (8 bytes, seconds)
//	enoki_inbox_times   that time and the key, in the order of time
//
// Only one process at a time can have the file open. The relay that emits the
// records is package outbox's.
package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/enoki-go/enoki/outbox"
)

var (
	outboxBucket = []byte("enoki_outbox")
	deadBucket   = []byte("enoki_outbox_dead")
)

// batch is how many records one transaction reads, and how many it forgets.
const batch = 100

// Store is an outbox in a bbolt file. It may be used concurrently.
type Store struct {
	db    *bbolt.DB
	added chan struct{}

	relaying sync.Mutex // held by Relay
}

var _ outbox.Store[*bbolt.Tx] = (*Store)(nil)

// New returns the outbox in db. The caller closes db after everything that uses
// the outbox has stopped.
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
	text, err := json.Marshal(item{Record: r, Added: time.Now()})
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
		if err := s.settle(waiting[:emitted]); err != nil {
			return err
		}
		if emitErr != nil {
			return emitErr
		}
	}
}

// item is a value in enoki_outbox.
type item struct {
	outbox.Record
	Added time.Time `json:",omitzero"`
}

// entry is an item as it is in the file.
type entry struct {
	key, value []byte
	refused    error // by emit, or because it can't be read
}

func (s *Store) oldest() (waiting []entry, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(outboxBucket)
		if b == nil {
			return nil
		}
		c := b.Cursor()
		for k, v := c.First(); k != nil && len(waiting) < batch; k, v = c.Next() {
			// The bytes belong to the transaction, so they are copied.
			waiting = append(waiting, entry{key: bytes.Clone(k), value: bytes.Clone(v)})
		}
		return nil
	})
	return waiting, err
}

// emitAll emits the entries. It notes the refused ones and ends at the first
// other error.
func emitAll(ctx context.Context, waiting []entry, emit func(ctx context.Context, r outbox.Record) error) (emitted int, err error) {
	for i := range waiting {
		w := &waiting[i]
		var it item
		if err := json.Unmarshal(w.value, &it); err != nil {
			it = item{Record: outbox.Record{Message: w.value}} // emit refuses it too, and reports it
		}
		err := emit(ctx, it.Record)
		if err != nil && !errors.Is(err, outbox.ErrRefused) {
			return i, err
		}
		w.refused = err
	}
	return len(waiting), nil
}

// settle forgets the emitted entries and moves the refused ones to the dead
// records.
func (s *Store) settle(done []entry) error {
	if len(done) == 0 {
		return nil
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(outboxBucket)
		for _, e := range done {
			if e.refused != nil {
				if err := bury(tx, e); err != nil {
					return err
				}
			}
			if err := b.Delete(e.key); err != nil {
				return err
			}
		}
		return nil
	})
}

// dead is a value in enoki_outbox_dead.
type dead struct {
	Value  []byte // the value in enoki_outbox
	Reason string
}

func bury(tx *bbolt.Tx, e entry) error {
	b, err := tx.CreateBucketIfNotExists(deadBucket)
	if err != nil {
		return err
	}
	text, err := json.Marshal(dead{Value: e.value, Reason: e.refused.Error()})
	if err != nil {
		return err
	}
	return b.Put(e.key, text)
}

// Count implements outbox.Store.
func (s *Store) Count(context.Context) (n outbox.Count, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(deadBucket); b != nil {
			n.Dead = b.Stats().KeyN
		}
		b := tx.Bucket(outboxBucket)
		if b == nil {
			return nil
		}
		n.Waiting = b.Stats().KeyN
		var first item
		if _, v := b.Cursor().First(); v != nil && json.Unmarshal(v, &first) == nil {
			n.Oldest = first.Added
		}
		return nil
	})
	return n, err
}

// Dead implements outbox.Store.
func (s *Store) Dead(_ context.Context, settle func(d outbox.DeadRecord) outbox.Settlement) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(deadBucket)
		if b == nil {
			return nil
		}
		var over [][]byte // deleted after the loop, because a change would confuse the loop
		err := b.ForEach(func(k, v []byte) error {
			var d dead
			if err := json.Unmarshal(v, &d); err != nil {
				return fmt.Errorf("%x of bucket %s can't be read; remove it: %w", k, deadBucket, err)
			}
			switch settle(d.record()) {
			case outbox.Keep:
				return nil
			case outbox.Retry:
				waiting, err := tx.CreateBucketIfNotExists(outboxBucket)
				if err == nil {
					err = waiting.Put(k, d.Value)
				}
				if err != nil {
					return err
				}
				tx.OnCommit(s.wake)
			}
			over = append(over, bytes.Clone(k))
			return nil
		})
		for _, k := range over {
			err = errors.Join(err, b.Delete(k))
		}
		return err
	})
}

func (d *dead) record() outbox.DeadRecord {
	var it item
	if err := json.Unmarshal(d.Value, &it); err != nil {
		it.Record = outbox.Record{Message: d.Value}
	}
	return outbox.DeadRecord{Record: it.Record, Reason: d.Reason}
}
