package nats_test

import (
	"context"
	"errors"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
)

// A holder that was away for longer than its lease finds the lock in other
// hands: it can't save, and learns of it.
func TestLockThatWasTakenMeanwhile(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	d := dial(t, nats.Config{InProcess: server})
	defer d.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	held, err := d.Lock(ctx, "taken")
	if err != nil {
		t.Fatal(err)
	}
	nc := client(t, server)
	other := &natsgo.Msg{Subject: "enoki.locks.taken", Header: natsgo.Header{"Enoki-Holder": {"other"}}, Data: []byte("of the other")}
	if _, err := nc.RequestMsg(other, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := held.Save(ctx, []byte("late")); !errors.Is(err, broker.ErrLockLost) {
		t.Errorf("Save: got error %v, want %v", err, broker.ErrLockLost)
	}
	select {
	case <-held.Lost():
	case <-ctx.Done():
		t.Fatal("the holder does not learn that it has lost the lock")
	}
	begun := time.Now()
	next, err := d.Lock(ctx, "taken") // the other one is never heard of again
	if err != nil {
		t.Fatal(err)
	}
	defer next.Release()
	if got, waited := string(next.State()), time.Since(begun); got != "of the other" || waited < 2*time.Second {
		t.Errorf("got state %q after %v, want that of the other one, after its lease", got, waited)
	}
}
