package bolt_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/outbox"
	"github.com/enoki-go/enoki/outbox/bolt"
)

type Order struct {
	Item string `json:"item"`
}

var Placed = enoki.NewEvent[Order]("orders", "placed")

// orders stores an order and the event that tells of it in one transaction.
type orders struct {
	tx     *enoki.PerCall[*bbolt.Tx]
	placed outbox.Emit[*bbolt.Tx, Order]
}

func (s *orders) place(ctx context.Context, item string) error {
	tx, err := s.tx.Get(ctx)
	if err != nil {
		return err
	}
	b, err := tx.CreateBucketIfNotExists([]byte("orders"))
	if err != nil {
		return err
	}
	if err := b.Put([]byte(item), []byte("placed")); err != nil {
		return err
	}
	return s.placed(ctx, tx, Order{Item: item})
}

// The broker gets the event after the commit. The inbox of the service that
// bills it makes sure that it is billed once.
func Example() {
	dir, err := os.MkdirTemp("", "orders")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := bbolt.Open(filepath.Join(dir, "orders.db"), 0o600, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	tx, billed := bolt.PerCall(db), make(chan string)
	s := &orders{tx: tx}
	ctx, stop := context.WithCancel(context.Background())
	b, ready, ended := memory.New(), make(chan struct{}), make(chan error)
	o := &enoki.Options{Logger: slog.New(slog.DiscardHandler), OnReady: func() { close(ready) }}
	go func() {
		ended <- enoki.Run(ctx, b, o,
			enoki.NewService("billing", tx,
				enoki.Subscription[Order]{
					Event: Placed, Once: bolt.NewInbox(tx),
					Handle: func(_ context.Context, o Order) error { billed <- o.Item; return nil },
				}),
			enoki.NewService("orders", tx,
				outbox.Use(bolt.New(db), outbox.Emits(Placed, &s.placed)),
				enoki.Method("place", s.place, "item")))
	}()
	<-ready
	_, err = enoki.NewClient(b, nil).Call(ctx, "orders", "place", []any{"tea"}, nil)
	fmt.Println("placed:", err)
	fmt.Println("billed:", <-billed)
	stop()
	fmt.Println("stopped:", <-ended)
	// Output:
	// placed: <nil>
	// billed: tea
	// stopped: <nil>
}
