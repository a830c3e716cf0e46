// Package postgres keeps an outbox and an inbox in a PostgreSQL database, by
// way of database/sql and whichever driver the program brings (its
// placeholders are $1, $2, as those of pgx and pq). The tables are in Schema.
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

// Create makes the tables where they are missing. It may run in several
// processes at once.
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
	select {
	case s.added <- struct{}{}: // before the commit, which nobody tells us of
	default:
	}
	return err
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
				if failed = emit(ctx, w.record); failed != nil {
					return nil
				}
				// One by one: a record with a lower number may have been
				// committed since, and was not emitted.
				if _, err := tx.Exec("DELETE FROM enoki_outbox WHERE id = $1", w.id); err != nil {
					return err
				}
			}
			return err
		})
		if failed != nil || err != nil {
			return errors.Join(failed, err)
		}
	}
	return nil
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
	rows, err := tx.QueryContext(ctx, "SELECT id, source, event, message FROM enoki_outbox ORDER BY id LIMIT $1", batch)
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
