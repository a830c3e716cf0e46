// Package postgres keeps an outbox and an inbox in a PostgreSQL database. It
// uses database/sql with the driver of the program; the driver must use the
// placeholders $1, $2, as pgx and pq do. The tables are in Schema. The relay
// that emits the records is package outbox's.
package postgres

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/outbox"
)

// Schema makes the tables of outbox and inbox where they are missing, for
// those who make their tables by migrations. Create runs it.
//
//go:embed schema.sql
var Schema string

const (
	// The numbers of the advisory locks are the first bytes of
	// "enokiout" and "enokisch"; they mean nothing else.
	relayLock  = 0x656e6f6b69_6f7574
	schemaLock = 0x656e6f6b69_736368

	// batch is how many records are emitted, and forgotten, in one transaction.
	batch = 100
)

// Create creates the missing tables. Several processes may call it at once.
func Create(ctx context.Context, db *sql.DB) error {
	return inTx(ctx, db, func(tx *sql.Tx) error {
		// "IF NOT EXISTS" alone fails when two make a table at once.
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(schemaLock)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, Schema)
		return err
	})
}

// PerCall returns a transaction for each piece of work of a service: committed
// when its handler succeeds, rolled back when it fails. o may be nil.
func PerCall(db *sql.DB, o *sql.TxOptions) *enoki.PerCall[*sql.Tx] {
	return enoki.NewPerCall(
		func(ctx context.Context) (*sql.Tx, error) { return db.BeginTx(ctx, o) },
		func(_ context.Context, tx *sql.Tx, outcome error) error {
			if outcome == nil {
				return tx.Commit()
			}
			err := tx.Rollback()
			if errors.Is(err, sql.ErrTxDone) { // by the end of the handler's context
				err = nil
			}
			return err
		})
}

// Store is an outbox in a PostgreSQL database. It may be used concurrently.
type Store struct {
	db    *sql.DB
	added chan struct{}
}

var _ outbox.Store[*sql.Tx] = (*Store)(nil)

// New returns the outbox in db, where the tables are.
func New(db *sql.DB) *Store {
	return &Store{db: db, added: make(chan struct{}, 1)}
}

// Put implements outbox.Store.
func (s *Store) Put(ctx context.Context, tx *sql.Tx, r outbox.Record) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO enoki_outbox (source, event, message) VALUES ($1, $2, $3)", r.Source, r.Event, string(r.Message))
	s.wake() // before the commit, which nobody tells us of
	return err
}

func (s *Store) wake() {
	select {
	case s.added <- struct{}{}:
	default:
	}
}

// Added implements outbox.Store.
func (s *Store) Added() <-chan struct{} { return s.added }

// Relay implements outbox.Store. It holds an advisory lock, so one relay of a
// database runs at a time.
func (s *Store) Relay(ctx context.Context, emit func(ctx context.Context, r outbox.Record) error) error {
	for full := true; full; {
		var failed error // of emit
		// Not cancelled with ctx: what was emitted is to be forgotten.
		err := inTx(context.WithoutCancel(ctx), s.db, func(tx *sql.Tx) error {
			waiting, err := claim(ctx, tx)
			full = len(waiting) == batch
			for _, w := range waiting {
				failed = emit(ctx, w.record)
				if failed != nil && !errors.Is(failed, outbox.ErrRefused) {
					return nil
				}
				// One by one: a record with a lower number may have been
				// committed since, and was not emitted.
				if err := settle(tx, w.id, failed); err != nil {
					return err
				}
				failed = nil
			}
			return err
		})
		if failed != nil || err != nil {
			return errors.Join(failed, err)
		}
	}
	return nil
}

// settle forgets a record, or makes it a dead one if it was refused.
func settle(tx *sql.Tx, id int64, refused error) error {
	if refused == nil {
		_, err := tx.Exec("DELETE FROM enoki_outbox WHERE id = $1", id)
		return err
	}
	_, err := tx.Exec("UPDATE enoki_outbox SET refused = $2 WHERE id = $1", id, refused.Error())
	return err
}

// claim returns the oldest records, or none while another relay has them.
func claim(ctx context.Context, tx *sql.Tx) ([]row, error) {
	var ours bool
	err := tx.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock($1)", int64(relayLock)).Scan(&ours)
	if err != nil || !ours {
		return nil, err
	}
	return oldest(ctx, tx)
}

// row is a record as it stands in the table.
type row struct {
	id     int64
	record outbox.Record
}

func oldest(ctx context.Context, tx *sql.Tx) (waiting []row, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT id, source, event, message FROM enoki_outbox WHERE refused IS NULL ORDER BY id LIMIT $1", batch)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var w row
		if err := rows.Scan(&w.id, &w.record.Source, &w.record.Event, &w.record.Message); err != nil {
			return nil, err
		}
		waiting = append(waiting, w)
	}
	return waiting, rows.Err()
}

// Count implements outbox.Store.
func (s *Store) Count(ctx context.Context) (n outbox.Count, err error) {
	var oldest sql.NullTime
	err = s.db.QueryRowContext(ctx, `SELECT count(*) FILTER (WHERE refused IS NULL), count(refused),
		min(added) FILTER (WHERE refused IS NULL) FROM enoki_outbox`).Scan(&n.Waiting, &n.Dead, &oldest)
	n.Oldest = oldest.Time
	return n, err
}

// Dead implements outbox.Store. It may also be done by hand: see Schema.
func (s *Store) Dead(ctx context.Context, settle func(d outbox.DeadRecord) outbox.Settlement) error {
	return inTx(ctx, s.db, func(tx *sql.Tx) error {
		kept, err := deadRecords(ctx, tx)
		for _, d := range kept {
			if err == nil {
				err = s.carryOut(ctx, tx, d.id, settle(d.DeadRecord))
			}
		}
		return err
	})
}

func (s *Store) carryOut(ctx context.Context, tx *sql.Tx, id int64, what outbox.Settlement) (err error) {
	switch what {
	case outbox.Retry:
		_, err = tx.ExecContext(ctx, "UPDATE enoki_outbox SET refused = NULL WHERE id = $1", id)
		s.wake()
	case outbox.Discard:
		_, err = tx.ExecContext(ctx, "DELETE FROM enoki_outbox WHERE id = $1", id)
	}
	return err
}

type deadRow struct {
	id int64
	outbox.DeadRecord
}

func deadRecords(ctx context.Context, tx *sql.Tx) (kept []deadRow, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT id, source, event, message, refused FROM enoki_outbox WHERE refused IS NOT NULL ORDER BY id FOR UPDATE")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var d deadRow
		if err := rows.Scan(&d.id, &d.Source, &d.Event, &d.Message, &d.Reason); err != nil {
			return nil, err
		}
		kept = append(kept, d)
	}
	return kept, rows.Err()
}

// inTx runs fn in a transaction that is committed when fn returns nil.
func inTx(ctx context.Context, db *sql.DB, fn func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
