package memory

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/uuid"
)

// dead is a dead letter and its origin: a subscription, or a call. Neither
// changes.
type dead struct {
	letter broker.DeadLetter
	from   subscribed
	call   *call
}

// bury keeps w as a dead letter. l has what is known of the failure. hub.mu
// must be held.
func (c *consumer) bury(w *work, l broker.DeadLetter) *broker.DeadLetter {
	m := *w.message // shared and never changed; loops give out copies
	m.Attempt, m.Redelivered = w.number(), w.redelivered
	l.ID, l.Service, l.Attempts, l.Revived = uuid.Short(), c.member.service.Name, w.number(), w.revived
	l.First, l.Died, l.Message = w.first, time.Now(), &m
	d := &dead{letter: l, call: w.call}
	if c.sub != nil {
		d.from = subscribedBy(&c.member.service.Instance, c.sub)
	}
	c.queue.hub.dead = append(c.queue.hub.dead, d)
	return d.copy()
}

// copy returns a copy of the letter.
func (d *dead) copy() *broker.DeadLetter {
	l := d.letter
	l.Message = copyMessage(l.Message)
	return &l
}

// DeadLetters implements broker.Broker. Loops do not wait for each other.
func (b *Broker) DeadLetters(ctx context.Context, f broker.DeadLetterFilter) iter.Seq2[*broker.HeldLetter, error] {
	return func(yield func(*broker.HeldLetter, error) bool) {
		if err := b.lock(ctx); err != nil {
			yield(nil, err)
			return
		}
		there := slices.Clone(b.hub.dead)
		b.hub.mu.Unlock()
		for _, d := range there {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if f.Picks(&d.letter) && !yield(b.hold(d), nil) {
				return
			}
		}
	}
}

func (b *Broker) hold(d *dead) *broker.HeldLetter {
	held := &broker.HeldLetter{DeadLetter: *d.copy()}
	held.Retry = func(ctx context.Context) error { return b.retry(ctx, d, held.Message) }
	held.Discard = func(ctx context.Context) error { return b.discard(ctx, d) }
	return held
}

// retry delivers a dead letter again, with the content of edited.
func (b *Broker) retry(ctx context.Context, d *dead, edited *broker.Message) error {
	if err := b.lock(ctx); err != nil {
		return err
	}
	defer b.hub.mu.Unlock()
	if !slices.Contains(b.hub.dead, d) {
		return broker.ErrGone
	}
	q := b.hub.sourceOf(d)
	if q == nil {
		return fmt.Errorf("retry a dead letter of %s.%s: %w: what it came from is not there any more; discard it, or start the service that has it",
			d.letter.Service, d.letter.Handler, broker.ErrNotDelivered)
	}
	m := *d.letter.Message
	content := copyContent(edited)
	m.Body, m.ContentType = content.Body, content.ContentType
	b.hub.forgetDead(d)
	w := &work{message: &m, attempt: 1, first: d.letter.First, revived: d.letter.Revived + 1}
	if d.call != nil {
		w.call = newCall(d.call.service, d.call.method)
	}
	q.push(w)
	return nil
}

// sourceOf returns the queue that a dead letter came from, or nil if nothing
// takes from it any more. mu must be held.
func (h *hub) sourceOf(d *dead) *queue {
	if d.call == nil {
		return h.events[d.from]
	}
	if q := h.callsTo(d.call.service, d.letter.Message.Instance); len(q.consumers) > 0 {
		return q
	}
	return nil
}

func (b *Broker) discard(ctx context.Context, d *dead) error {
	if err := b.lock(ctx); err != nil {
		return err
	}
	defer b.hub.mu.Unlock()
	if !slices.Contains(b.hub.dead, d) {
		return broker.ErrGone
	}
	b.hub.forgetDead(d)
	return nil
}

// forgetDead removes d. mu must be held.
func (h *hub) forgetDead(d *dead) {
	h.dead = slices.DeleteFunc(h.dead, func(other *dead) bool { return other == d })
}
