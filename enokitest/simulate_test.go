package enokitest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/inbox"
)

type order struct {
	ID int `json:"id"`
}

var placed = enoki.NewEvent[order]("shop", "placed")

// insist emits an order until it is confirmed.
func insist(t *testing.T, s *Sim, id int) {
	t.Helper()
	for range 100 {
		if enoki.Emitter(s.Client, placed)(t.Context(), order{id}, enoki.WithMessageID(fmt.Sprint("order-", id))) == nil {
			return
		}
	}
	t.Errorf("order %d was not confirmed in 100 tries", id)
}

// billing fails now and then, and has an inbox that outlives its crashes.
func billing(s *Sim, once enoki.Inbox) func() *enoki.Service {
	var tries atomic.Int64
	return func() *enoki.Service {
		return enoki.NewService("billing", enoki.Subscription[order]{Event: placed, Handle: func(_ context.Context, o order) error {
			if tries.Add(1)%7 == 0 {
				return errors.New("the bank is away")
			}
			s.Effect(fmt.Sprint("bill ", o.ID))
			return nil
		}, OnError: enoki.Retry{Attempts: 20}, Once: once})
	}
}

// shop is a simulation of orders that are billed.
func shop(once enoki.Inbox) func(t *testing.T, s *Sim) {
	return func(t *testing.T, s *Sim) {
		s.Run(3, billing(s, once))
		for id := range 40 {
			insist(t, s, id)
		}
	}
}

func TestSimulationKeepsItsInvariants(t *testing.T) {
	for seed := range uint64(20) {
		Simulate(t, &SimOptions{Seed: seed + 1}, shop(inbox.NewMemory(0)))
	}
}

// simulated runs a simulation whose problems are wanted.
func simulated(t *testing.T, o SimOptions, run func(t *testing.T, s *Sim)) (history, problems []string) {
	t.Helper()
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSim(o)
		defer func() {
			s.end()
			history, problems = s.History(), s.check()
		}()
		run(t, s)
		s.settle()
	})
	return history, problems
}

func TestSimulationFindsDoubledEffects(t *testing.T) {
	_, problems := simulated(t, SimOptions{Seed: 1}, shop(nil))
	if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, "was done 2 times") }) {
		t.Errorf("without an inbox: got problems %q, want a doubled effect", problems)
	}
}

func TestSimulationFindsWhatIsNotHandled(t *testing.T) {
	_, problems := simulated(t, SimOptions{Seed: 1, Delay: 10 * time.Minute}, func(t *testing.T, s *Sim) {
		s.Run(1, func() *enoki.Service {
			return enoki.NewService("billing", enoki.Subscription[order]{Event: placed, Handle: func(context.Context, order) error {
				return errors.New("never")
			}, OnError: enoki.Requeue{}})
		})
		insist(t, s, 1)
	})
	if len(problems) != 1 || !strings.Contains(problems[0], "confirmed, and never handled") {
		t.Errorf("got problems %q, want that the order was never handled", problems)
	}
}

func TestSameSeedSameHistory(t *testing.T) {
	run := func(seed uint64, crashes float64) []string {
		history, problems := simulated(t, SimOptions{Seed: seed, Crashes: crashes}, func(t *testing.T, s *Sim) {
			memory := inbox.NewMemory(0)
			s.Run(3, func() *enoki.Service {
				return enoki.NewService("billing",
					enoki.Subscription[order]{Event: placed, Handle: func(_ context.Context, o order) error { s.Effect(fmt.Sprint("bill ", o.ID)); return nil }, Once: memory},
					enoki.Subscription[order]{Event: placed, Handle: func(ctx context.Context, o order) error {
						if o.ID%3 == 0 && enoki.Attempt(ctx) < 3 {
							return errors.New("not yet")
						}
						return nil
					}, Name: "tell"},
					enoki.Method("price", func(_ context.Context, id int) (int, error) { return 2 * id, nil }, "id"),
					enoki.Cron("*/5 * * * *", func(context.Context) error { return nil }, enoki.TimerName("close")))
			})
			for id := range 20 {
				insist(t, s, id)
				_, _ = s.Client.Call(t.Context(), "billing", "price", []any{id}, nil)
			}
			time.Sleep(time.Hour)
		})
		if len(problems) > 0 {
			t.Errorf("seed %d: %q", seed, problems)
		}
		return history
	}
	for seed := range uint64(5) {
		crashes := 0.1
		if seed == 4 {
			crashes = 0.7 // so that events are counted that end their process
		}
		first, second := run(seed+1, crashes), run(seed+1, crashes)
		for i := range min(len(first), len(second)) {
			if first[i] != second[i] {
				t.Fatalf("seed %d, line %d of the history: %q, then %q", seed+1, i, first[i], second[i])
			}
		}
		if len(first) != len(second) || len(first) < 60 {
			t.Fatalf("seed %d: histories have %d and %d lines, want them alike and more than 60", seed+1, len(first), len(second))
		}
	}
	if slices.Equal(run(1, 0.1), run(2, 0.1)) {
		t.Error("two seeds made the same history")
	}
}

// TestSimulationCountsWhatEndsProcesses: an event under which each process
// crashes is a dead letter in the end, also one that has an order.
func TestSimulationCountsWhatEndsProcesses(t *testing.T) {
	for _, orderBy := range []func(order) string{nil, func(o order) string { return fmt.Sprint(o.ID) }} {
		history, problems := simulated(t, SimOptions{Seed: 1, Crashes: 1, Loss: -1}, func(t *testing.T, s *Sim) {
			s.Run(2, func() *enoki.Service {
				return enoki.NewService("billing", enoki.Subscription[order]{Event: placed, Handle: func(context.Context, order) error { return nil }, OrderBy: orderBy})
			})
			insist(t, s, 1)
			time.Sleep(time.Hour)
		})
		all := strings.Join(history, "\n")
		if crashes := strings.Count(all, "crashes"); len(problems) > 0 || crashes != 5 || !strings.Contains(all, broker.ErrNoOutcome.Error()) {
			t.Errorf("after %d crashes, want 5 and a dead letter, and the problems %q:\n%s", crashes, problems, all)
		}
	}
}

// TestHourOfRetriesAndCronRunsAtOnce is the measure of the simulation: an hour
// of a cluster with a cron every minute and events that are tried again.
func TestHourOfRetriesAndCronRunsAtOnce(t *testing.T) {
	var ran, tried atomic.Int64
	begun := time.Now()
	Simulate(t, &SimOptions{Seed: 1}, func(t *testing.T, s *Sim) {
		s.Run(3, func() *enoki.Service {
			return enoki.NewService("billing",
				enoki.Subscription[order]{Event: placed, Handle: func(ctx context.Context, o order) error {
					tried.Add(1)
					if enoki.Attempt(ctx) < 8 {
						return errors.New("the bank is away")
					}
					return nil
				}, OnError: enoki.Retry{Attempts: 10}},
				enoki.Cron("* * * * *", func(context.Context) error {
					s.Effect("closed at " + time.Now().UTC().Format("15:04"))
					ran.Add(1)
					return nil
				}, enoki.TimerName("close")))
		})
		for id := range 60 {
			insist(t, s, id)
			time.Sleep(time.Minute)
		}
	})
	took := time.Since(begun)
	t.Logf("an hour with %d runs of a cron and %d attempts took %v", ran.Load(), tried.Load(), took)
	if ran.Load() < 50 || tried.Load() < 60*8 {
		t.Errorf("got %d runs of a cron and %d attempts, want at least 50 and 480", ran.Load(), tried.Load())
	}
	if took > time.Minute { // milliseconds, but for a machine that is busy
		t.Errorf("an hour took %v", took)
	}
}

func TestSeedOfTheEnvironment(t *testing.T) {
	t.Setenv(SeedVariable, "42")
	if o, err := (&SimOptions{}).withDefaults(); o.Seed != 42 || err != nil {
		t.Errorf("got seed %d and error %v, want 42", o.Seed, err)
	}
	t.Setenv(SeedVariable, "x")
	if _, err := (&SimOptions{}).withDefaults(); err == nil || !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("got error %v, want one that names the value", err)
	}
}
