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

// dead is a dead letter and the subscription it came from. Neither changes.
type dead struct {
	letter broker.DeadLetter
	from   subscribed
}

// bury keeps w as a dead letter. It wants hub.mu held.
func (c *consumer) bury(w *work, s broker.Settlement) *broker.DeadLetter {
	m := *w.message // shared and never changed; loops give out copies
	m.Attempt, m.Redelivered = w.attempt, w.redelivered
	d := &dead{from: subscribedBy(&c.member.service.Instance, c.sub), letter: broker.DeadLetter{
		ID:       uuid.Short(),
		Service:  c.member.service.Name,
		Handler:  c.sub.Handler,
		Source:   c.sub.Source,
		Event:    c.sub.Event,
		Kind:     s.Kind,
		Reason:   s.Reason,
		Attempts: w.attempt,
		First:    w.first,
		Died:     time.Now(),
		Revived:  w.revived,
		Message:  &m,
	}}
	c.queue.hub.dead = append(c.queue.hub.dead, d)
	return d.copy()
}

// copy returns a letter of its own.
func (d *dead) copy() *broker.DeadLetter {
	l := d.letter
	l.Message = copyMessage(l.Message)
	return &l
}

// DeadLetters implements broker.Broker. Loops don't wait for each other.
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

// retry delivers a dead letter anew, with the content of edited.
func (b *Broker) retry(ctx context.Context, d *dead, edited *broker.Message) error {
	if err := b.lock(ctx); err != nil {
		return err
	}
	defer b.hub.mu.Unlock()
	if !slices.Contains(b.hub.dead, d) {
		return broker.ErrGone
	}
	q := b.hub.events[d.from]
	if q == nil {
		return fmt.Errorf("retry a dead letter of %s.%s: %w: its subscription is not there any more; discard it, or start the service that has it",
			d.letter.Service, d.letter.Handler, broker.ErrNotDelivered)
	}
	m := *d.letter.Message
	content := copyContent(edited)
	m.Body, m.ContentType = content.Body, content.ContentType
	b.hub.forgetDead(d)
	q.push(&work{message: &m, attempt: 1, first: d.letter.First, revived: d.letter.Revived + 1})
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

// forgetDead wants mu held.
func (h *hub) forgetDead(d *dead) {
	h.dead = slices.DeleteFunc(h.dead, func(other *dead) bool { return other == d })
}
