package amqp

import (
	"context"
	"testing"

	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// A mailbox keeps the newest in their order, and gives what it has also when
// nothing more can come.
func TestMailbox(t *testing.T) {
	b, ended := newMailbox(3), make(chan struct{})
	for tag := range uint64(5) {
		b.put(&wire.Delivery{Tag: tag})
	}
	close(ended)
	for want := uint64(2); want < 5; want++ {
		if d := b.next(t.Context(), ended); d == nil || d.Tag != want {
			t.Fatalf("got %+v, want the delivery %d", d, want)
		}
	}
	if d := b.next(t.Context(), ended); d != nil {
		t.Errorf("got %+v of an empty mailbox", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if d := b.next(ctx, nil); d != nil {
		t.Errorf("got %+v after ctx has ended", d)
	}
	go b.put(&wire.Delivery{Tag: 9})
	if d := b.next(t.Context(), nil); d == nil || d.Tag != 9 {
		t.Errorf("got %+v, want the delivery 9", d)
	}
}
