package postgres

import (
	"context"
	"database/sql"
	"sync/atomic"
	"time"

	"github.com/enoki-go/enoki"
)

const (
	// remembered is how long an inbox knows what was handled.
	remembered = 24 * time.Hour

	// What is older is forgotten along the way, in portions.
	forgetEvery = time.Minute
	forgetMost  = 10_000
)

// Inbox notes in the transaction of a handler which event it handles. Give it
// as Once of a [enoki.Subscription]; an event that comes again within 24 h has no second effect.
// It may be used concurrently.
type Inbox struct {
	tx        *enoki.PerCall[*sql.Tx]
	forgotten atomic.Int64 // when old keys were last forgotten, in Unix seconds
}

var _ enoki.Inbox = (*Inbox)(nil)

// NewInbox returns an inbox that writes in the transaction of tx, which the
// service must have declared, and whose handlers write by too.
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
	// Waits for a transaction that has the same key, and is void if that commits.
	noted, err := tx.ExecContext(ctx, "INSERT INTO enoki_inbox (key) VALUES ($1) ON CONFLICT DO NOTHING", key)
	if err != nil {
		return err
	}
	if n, err := noted.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return do(ctx)
}

// forget deletes old keys when it is time to.
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
