package postgres

import (
	"context"
	"database/sql"
	"sync/atomic"
	"time"

	"github.com/enoki-go/enoki"
)

const (
	// remembered is how long an inbox remembers an event.
	remembered = 24 * time.Hour

	// Older keys are removed along the way, in portions.
	forgetEvery = time.Minute
	forgetMost  = 10_000
)

// Inbox notes in a handler's transaction which event the handler has handled.
// Set it as Once of an [enoki.Subscription]. An event that comes again within
// 24 h has no second effect. An Inbox may be used concurrently.
type Inbox struct {
	tx        *enoki.PerCall[*sql.Tx]
	forgotten atomic.Int64 // when old keys were last removed, in Unix seconds
}

var _ enoki.Inbox = (*Inbox)(nil)

// NewInbox returns an inbox that writes in the transaction of tx. The service
// must have declared tx, and its handlers must write in it too.
func NewInbox(tx *enoki.PerCall[*sql.Tx]) *Inbox { return &Inbox{tx: tx} }

// Once implements enoki.Inbox.
func (i *Inbox) Once(ctx context.Context, key string, do func(ctx context.Context) error) error {
	tx, err := i.tx.Get(ctx)
	if err != nil {
		return err
	}
	if err := i.forget(ctx, tx); err != nil {
		return err
	}
	// This waits for a transaction with the same key. It adds nothing if that one
	// commits.
	noted, err := tx.ExecContext(ctx, "INSERT INTO enoki_inbox (key) VALUES ($1) ON CONFLICT DO NOTHING", key)
	if err != nil {
		return err
	}
	if n, err := noted.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return do(ctx)
}

// forget deletes old keys if it is time to do so.
func (i *Inbox) forget(ctx context.Context, tx *sql.Tx) error {
	now, last := time.Now(), i.forgotten.Load()
	if now.Sub(time.Unix(last, 0)) < forgetEvery || !i.forgotten.CompareAndSwap(last, now.Unix()) {
		return nil
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM enoki_inbox WHERE key IN (
		SELECT key FROM enoki_inbox WHERE handled < now() - make_interval(secs => $1)
		ORDER BY handled LIMIT $2 FOR UPDATE SKIP LOCKED)`, remembered.Seconds(), forgetMost)
	return err
}
