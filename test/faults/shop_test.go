package faults

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/outbox/bolt"
)

const (
	// emitters is how many events are on their way at once.
	emitters = 4

	// emitTimeout is short, so that emits end while the broker is down, too.
	emitTimeout = 2 * time.Second
)

type order struct {
	ID int `json:"id"`
}

var placed = enoki.NewEvent[order]("orders", "placed")

// shop is two services that handle events, and those who emit them.
type shop struct {
	db       *bbolt.DB
	stop     func() error
	emitters *crowd
}

var effectsBucket = []byte("effects")

// open opens a shop on a broker of its own.
func open(t *testing.T, b broker.Broker, a *account) *shop {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "effects.db"), 0o600, &bbolt.Options{NoSync: true}) // this process lives
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := &shop{db: db}
	tx := bolt.PerCall(db)
	s.stop = run(t, b,
		enoki.NewService("billing", enoki.On(placed, func(_ context.Context, o order) error {
			a.note(func(b *books) { b.handled[o.ID]++ })
			return nil
		})),
		enoki.NewService("stock", noted(a), tx, enoki.Subscription[order]{Event: placed, Handle: func(ctx context.Context, o order) error {
			tx, err := tx.Get(ctx)
			if err != nil {
				return err
			}
			return addEffect(tx, o.ID)
		}, Once: bolt.NewInbox(tx)}),
	)
	s.emitters = emit(enoki.NewClient(b, nil), a)
	t.Cleanup(s.emitters.stop)
	return s
}

// noted notes which events a service has handled, after their transactions.
func noted(a *account) enoki.Part {
	return enoki.Use(func(next enoki.Handler) enoki.Handler {
		return func(ctx context.Context, c *enoki.Call) error {
			err := next(ctx, c)
			if o, ok := c.Args()[0].(order); ok && err == nil {
				a.note(func(b *books) { b.once[o.ID]++ })
			}
			return err
		}
	})
}

// addEffect counts how often an event had one.
func addEffect(tx *bbolt.Tx, id int) error {
	b, err := tx.CreateBucketIfNotExists(effectsBucket)
	if err != nil {
		return err
	}
	key := binary.BigEndian.AppendUint64(nil, uint64(id))
	return b.Put(key, append(append([]byte(nil), b.Get(key)...), 'x'))
}

// effects returns how often each event had one.
func (s *shop) effects(t *testing.T) map[int]int {
	t.Helper()
	found := map[int]int{}
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(effectsBucket).ForEach(func(key, marks []byte) error {
			found[int(binary.BigEndian.Uint64(key))] = len(marks)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (s *shop) close(t *testing.T) {
	t.Helper()
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

// run runs services until the function that it returns is called.
func run(t *testing.T, b broker.Broker, services ...*enoki.Service) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	o := &enoki.Options{Logger: slog.New(slog.DiscardHandler), OnReady: func() { close(ready) }}
	go func() { ended <- enoki.Run(ctx, b, o, services...) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = stop() })
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("the services did not start: %v", err)
	}
	return stop
}

// crowd is those who emit.
type crowd struct {
	stop func() // returns when all have their last answer
}

// emit has emitters emit one event after the other until stop is called.
func emit(c *enoki.Client, a *account) *crowd {
	send := enoki.Emitter(c, placed)
	home := make(chan struct{})
	var next atomic.Int64
	var people sync.WaitGroup
	for range emitters {
		people.Go(func() {
			pace := time.NewTicker(2 * time.Millisecond) // leaves the machine some time for others
			defer pace.Stop()
			for {
				select {
				case <-home:
					return
				case <-pace.C:
					emitOne(send, a, int(next.Add(1)))
				}
			}
		})
	}
	return &crowd{stop: sync.OnceFunc(func() {
		close(home)
		people.Wait()
	})}
}

func emitOne(send enoki.Emit[order], a *account, id int) {
	ctx, cancel := context.WithTimeout(context.Background(), emitTimeout)
	defer cancel()
	a.note(func(b *books) { b.emitted++ })
	err := send(ctx, order{id})
	a.note(func(b *books) {
		switch {
		case err == nil:
			b.confirmed[id] = true
		case errors.Is(err, enoki.NotDelivered):
			b.refused++
		default: // the link was lost, or no confirm came in time
			b.unknown[id] = true
		}
	})
}

func sumOf(pairs ...any) (text string) {
	for i := 0; i < len(pairs); i += 2 {
		text += fmt.Sprintf("%v %v, ", pairs[i+1], pairs[i])
	}
	return text[:len(text)-2]
}
