package amqp

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// take takes a lock for the length of the test.
func take(t *testing.T, d *Driver, name string) broker.Lock {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	l, err := d.Lock(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Release)
	return l
}

// A holder whose network swallows everything learns nothing, but can't save
// either, and the next one has the lock once the broker gives up its link.
func TestLockWhoseHolderIsCutOff(t *testing.T) {
	p := newProxy(t, rabbit(t))
	cut := take(t, dial(t, Config{URL: p.url()}), "cut-off")
	if err := cut.Save(t.Context(), []byte("before")); err != nil {
		t.Fatal(err)
	}
	p.hole.Store(true)
	begun := time.Now()
	saved := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		saved <- cut.Save(ctx, []byte("into the hole"))
	}()
	next := take(t, dial(t, Config{}), "cut-off")
	t.Logf("the next one has the lock after %v", time.Since(begun).Round(time.Millisecond))
	if got := string(next.State()); got != "before" {
		t.Errorf("got state %q, want %q", got, "before")
	}
	if err := <-saved; !errors.Is(err, broker.ErrUnknownOutcome) {
		t.Errorf("Save of a holder that is cut off: got error %v, want %v", err, broker.ErrUnknownOutcome)
	}
	<-cut.Lost()
	if err := cut.Save(t.Context(), []byte("late")); !errors.Is(err, broker.ErrLockLost) {
		t.Errorf("Save after the lock was lost: got error %v, want %v", err, broker.ErrLockLost)
	}
}

// What a holder of an earlier term has on its way when the next one takes over
// changes nothing.
func TestLockIgnoresEarlierTerms(t *testing.T) {
	d := dial(t, Config{})
	take(t, d, "terms").Release()
	held := take(t, d, "terms")
	if err := held.Save(t.Context(), []byte("of the second")); err != nil {
		t.Fatal(err)
	}
	err := d.publisher.publish(t.Context(), &outgoing{key: "enoki.lock.terms", mandatory: true, msg: wire.Message{
		Type: lockState, MessageID: "late", DeliveryMode: wire.Persistent, Body: []byte("of the first"),
		Headers: wire.Table{headerTerm: int64(1), headerNumber: int64(99)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	held.Release()
	if got := string(take(t, d, "terms").State()); got != "of the second" {
		t.Errorf("got state %q, want %q", got, "of the second")
	}
}
