package found

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/outbox"
	"github.com/enoki-go/enoki/outbox/bolt"
)

type comment struct {
	Text string `json:"text"`
}

var commented = enoki.NewEvent[comment]("site", "commented")

// TestOutboxRecordThatCanNeverBeSent: 200 kB of '<' are 1.2 MB as an event, more
// than NATS takes. The comment is refused with its event, and later ones pass.
// One that an older program has stored is set aside and told of.
func TestOutboxRecordThatCanNeverBeSent(t *testing.T) {
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "data"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // after the services have stopped
	store, tx := bolt.New(db), bolt.PerCall(db)
	body, err := json.Marshal(comment{strings.Repeat("<", 200_000)})
	if err != nil {
		t.Fatal(err)
	}
	old, err := json.Marshal(map[string]any{"id": "old", "body": body})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return store.Put(t.Context(), tx, outbox.Record{Source: "site", Event: "commented", Message: old})
	})
	if err != nil {
		t.Fatal(err)
	}

	var announce outbox.Emit[*bbolt.Tx, comment]
	post := func(ctx context.Context, text string) error {
		in, err := tx.Get(ctx)
		if err != nil {
			return err
		}
		return announce(ctx, in, comment{text})
	}
	told, letters := make(chan string, 1), make(chan broker.DeadLetter, 1)
	run(t, dialNATS(t, server.URL()), enoki.Options{OnDeadLetter: func(l broker.DeadLetter) { letters <- l }},
		enoki.NewService("reader", enoki.Subscription[comment]{Event: commented, Handle: func(_ context.Context, c comment) error { told <- c.Text; return nil }, Delivery: enoki.Pool{Ephemeral: true}}),
		enoki.NewService("site", tx, outbox.Use(store, outbox.Emits(commented, &announce)), enoki.Method("post", post, "text")))

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := client(t, dialNATS(t, server.URL()))
	_, err = c.Call(ctx, "site", "post", []any{strings.Repeat("<", 200_000)}, nil)
	if !errors.Is(err, enoki.InvalidArgument) {
		t.Errorf("a comment whose event is too large: got error %v, want invalid_argument", err)
	}
	if _, err := c.Call(ctx, "site", "post", []any{"small"}, nil); err != nil {
		t.Fatal(err)
	}
	select {
	case text := <-told:
		if text != "small" {
			t.Errorf("told of %.40q, want the small comment", text)
		}
	case <-time.After(patience):
		t.Fatal("nobody is told of the small comment")
	}
	select {
	case l := <-letters:
		if l.Handler != "outbox" || l.Message.ID != "old" {
			t.Errorf("told of %+v, want the record that is too large", l)
		}
	case <-time.After(patience):
		t.Fatal("nobody is told of the record that can't be sent")
	}
}
