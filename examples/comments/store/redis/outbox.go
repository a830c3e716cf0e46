package redis

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/enoki-go/enoki/examples/comments/store"
	"github.com/enoki-go/enoki/outbox"
)

// relayTerm is how long a relay that says nothing more is taken for alive: after
// a kill the next one begins that much later.
const relayTerm = 6 * time.Second

// Put implements outbox.Store.
func (s *Store) Put(_ context.Context, p *store.Posting, r outbox.Record) error { return p.Put(r) }

func pushEvents(ctx context.Context, p redis.Pipeliner, events []outbox.Record) error {
	for _, event := range events {
		text, err := json.Marshal(event)
		if err != nil {
			return err
		}
		p.RPush(ctx, outboxKey, text)
	}
	return nil
}

// Added implements outbox.Store.
func (s *Store) Added() <-chan struct{} { return s.added }

func (s *Store) wake() {
	select {
	case s.added <- struct{}{}:
	default:
	}
}

var (
	prolong = redis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0`)
	resign  = redis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`)
)

// Relay implements outbox.Store. One relay at a time has the key relayKey, for
// as long as it says that it is alive.
func (s *Store) Relay(ctx context.Context, emit func(ctx context.Context, r outbox.Record) error) (err error) {
	name := rand.Text()
	err = s.client.SetArgs(ctx, relayKey, name, redis.SetArgs{Mode: "NX", TTL: relayTerm}).Err()
	if errors.Is(err, redis.Nil) { // another one has it
		return nil
	}
	if err != nil {
		return fmt.Errorf("begin to relay events: %w", err)
	}
	ctx, lost := context.WithCancel(ctx)
	var kept sync.WaitGroup
	kept.Go(func() { s.keep(ctx, name, lost) })
	defer func() {
		lost()
		kept.Wait()
		ended := resign.Run(context.WithoutCancel(ctx), s.client, []string{relayKey}, name).Err()
		err = errors.Join(err, ended)
	}()
	for more := true; more && ctx.Err() == nil; {
		if more, err = s.relayOldest(ctx, emit); err != nil {
			return err
		}
	}
	return nil
}

// keep says that the relay is alive until ctx ends. It calls lost when another
// relay has taken this one for dead.
func (s *Store) keep(ctx context.Context, name string, lost func()) {
	tick := time.NewTicker(relayTerm / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		alive, err := prolong.Run(ctx, s.client, []string{relayKey}, name, relayTerm.Milliseconds()).Int()
		if err == nil && alive == 0 { // an error is one of Redis, and the next tick tries again
			lost()
			return
		}
	}
}

// relayOldest relays one event, if there is one.
func (s *Store) relayOldest(ctx context.Context, emit func(ctx context.Context, r outbox.Record) error) (more bool, err error) {
	text, err := s.client.LIndex(ctx, outboxKey, 0).Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the oldest event: %w", err)
	}
	err = emit(ctx, recordOf(text))
	if err != nil && !errors.Is(err, outbox.ErrRefused) {
		return false, err
	}
	if err := s.settle(context.WithoutCancel(ctx), text, err); err != nil {
		return false, fmt.Errorf("forget an event that was emitted: %w", err)
	}
	return true, nil
}

// recordOf reads an item of outboxKey. One that can't be read is a message that
// no relay can read.
func recordOf(text string) (r outbox.Record) {
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return outbox.Record{Message: []byte(text)}
	}
	return r
}

// deadItem is an item of deadKey.
type deadItem struct{ Item, Reason string }

// settle takes an item from outboxKey by its value, which is unique: another
// relay may have been faster. What was refused goes to deadKey.
func (s *Store) settle(ctx context.Context, text string, refused error) error {
	_, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.LRem(ctx, outboxKey, 1, text)
		if refused == nil {
			return nil
		}
		dead, err := json.Marshal(deadItem{text, refused.Error()})
		p.RPush(ctx, deadKey, dead)
		return err
	})
	return err
}

// Count implements outbox.Store. Redis does not know how old an item is.
func (s *Store) Count(ctx context.Context) (n outbox.Count, err error) {
	var waiting, dead *redis.IntCmd
	_, err = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		waiting, dead = p.LLen(ctx, outboxKey), p.LLen(ctx, deadKey)
		return nil
	})
	return outbox.Count{Waiting: int(waiting.Val()), Dead: int(dead.Val())}, err
}

// Dead implements outbox.Store.
func (s *Store) Dead(ctx context.Context, settle func(outbox.DeadRecord) outbox.Settlement) error {
	items, err := s.client.LRange(ctx, deadKey, 0, -1).Result()
	for _, text := range items {
		if err == nil {
			err = s.settleDead(ctx, text, settle)
		}
	}
	return err
}

func (s *Store) settleDead(ctx context.Context, text string, settle func(outbox.DeadRecord) outbox.Settlement) error {
	var dead deadItem
	if err := json.Unmarshal([]byte(text), &dead); err != nil {
		return fmt.Errorf("an item of %s can't be read; remove it: %w", deadKey, err)
	}
	what := settle(outbox.DeadRecord{Record: recordOf(dead.Item), Reason: dead.Reason})
	if what == outbox.Keep {
		return nil
	}
	_, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.LRem(ctx, deadKey, 1, text)
		if what == outbox.Retry {
			p.LPush(ctx, outboxKey, dead.Item)
		}
		return nil
	})
	s.wake()
	return err
}
