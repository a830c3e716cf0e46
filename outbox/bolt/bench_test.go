package bolt_test

import (
	"context"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/enoki-go/enoki/outbox"
	"github.com/enoki-go/enoki/outbox/bolt"
)

// BenchmarkOutbox puts an event in a synced transaction of its own and relays
// it to nobody.
func BenchmarkOutbox(b *testing.B) {
	db := open(b)
	s := bolt.New(db)
	r := outbox.Record{Source: "orders", Event: "placed", Message: []byte(`{"id":"1","body":"eyJpdGVtIjoidGVhIn0="}`)}
	ctx := context.Background()
	b.ResetTimer()
	for b.Loop() {
		if err := db.Update(func(tx *bbolt.Tx) error { return s.Put(ctx, tx, r) }); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Relay(ctx, func(context.Context, outbox.Record) error { return nil }); err != nil {
		b.Fatal(err)
	}
}
