package found

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/deadletter"
	"github.com/enoki-go/enoki/internal/uuid"
	"github.com/enoki-go/enoki/telemetry"
)

// whisper says the text that it is made of in the error of its decoding, or in
// its panic.
type whisper struct{}

func (*whisper) UnmarshalJSON(text []byte) error {
	if strings.Contains(string(text), "panic") {
		panic(string(text))
	}
	return fmt.Errorf("no good: %s", text)
}

type person struct {
	Name  string         `json:"name"`
	PIN   int8           `json:"pin,omitempty" sensitive:"true"`
	Born  time.Time      `json:"born,omitzero" sensitive:"true"`
	Note  *whisper       `json:"note,omitempty" sensitive:"true"`
	Cards map[string]int `json:"cards,omitempty" sensitive:"true"`
}

type vault struct {
	Open  func(ctx context.Context, pin int8, when *time.Time) error `args:"pin,when?" sensitive:"pin,when"`
	Admit func(ctx context.Context, who person) error                `args:"who"`
	Crowd func(ctx context.Context, all []person) error              `args:"*all"`
	Fail  func(ctx context.Context, who person) error                `args:"who"`
	Panic func(ctx context.Context, who person) error                `args:"who"`
}

var moved = enoki.NewEvent[person]("vault", "moved")

// secrets is what must stand nowhere. The number fits no PIN, and is
// too long to be found in a time or an id by chance.
var secrets = []string{"471147114711", "s3cret"}

func showsSecret(text string) bool {
	for _, s := range secrets {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// personalMistakes are persons that can't be read, each for another reason.
var personalMistakes = map[string]string{
	"a number too large":   `{"name":"x","pin":471147114711}`,
	"text for a number":    `{"name":"x","pin":"s3cret"}`,
	"a date that is none":  `{"name":"x","born":"s3cret"}`,
	"a user's own error":   `{"name":"x","note":"s3cret"}`,
	"a user's own panic":   `{"name":"x","note":"panic s3cret"}`,
	"null at a key":        `{"name":"x","cards":{"s3cret":null}}`,
	"a required name gone": `{"pin":7,"cards":{"s3cret":1}}`,
	"no object":            `"s3cret"`,
}

// TestPersonalDataIsNotLogged has sensitive arguments and fields be wrong in
// every way, and handlers fail: neither the log, nor what callers are told, nor
// a dead letter's reason shows them.
func TestPersonalDataIsNotLogged(t *testing.T) {
	onEveryBroker(t, func(t *testing.T, dial func() broker.Broker) {
		var log logbook
		fail := func(context.Context, person) error { return errors.New("out of order") }
		service := enoki.NewService("vault",
			enoki.RPC(vault{
				Open:  func(context.Context, int8, *time.Time) error { return nil },
				Admit: func(context.Context, person) error { return nil },
				Crowd: func(context.Context, []person) error { return nil },
				Fail:  fail,
				Panic: func(context.Context, person) error { panic("out of order") },
			}),
			enoki.Subscription[person]{Event: moved, Handle: fail, OnError: enoki.Retry{Attempts: 1}})
		run(t, dial(), enoki.Options{Logger: telemetry.NewLogger(&log, slog.LevelDebug, telemetry.JSON)}, service)
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		b := dial()
		c := enoki.NewClient(b, &enoki.Options{Logger: quiet, Retries: new(false), Breakers: new(false)})

		refused := func(method string, args ...any) {
			t.Helper()
			if _, err := c.Call(ctx, "vault", method, args, nil); err == nil || showsSecret(err.Error()) {
				t.Errorf("%s: the caller is told %v", method, err)
			}
		}
		refused("open", 471147114711)
		refused("open", "s3cret")
		refused("open", 7, "s3cret")
		for name, text := range personalMistakes {
			t.Log(name)
			refused("admit", json.RawMessage(text))
			refused("crowd", json.RawMessage(`{"name":"x"}`), json.RawMessage(text))
		}
		well := json.RawMessage(`{"name":"x","cards":{"s3cret":471147114711}}`)
		refused("fail", well)
		refused("panic", well)

		letters := 1
		if err := b.Emit(ctx, "vault", "moved", &broker.Message{ID: uuid.New(), Body: well}); err != nil {
			t.Fatal(err)
		}
		for name, text := range personalMistakes {
			letters++
			if err := b.Emit(ctx, "vault", "moved", &broker.Message{ID: uuid.New(), Body: []byte(text)}); err != nil {
				t.Fatal(name, err)
			}
		}
		eventually(t, "the log tells of every dead letter", func() bool { return strings.Count(log.String(), "dead letter kept") >= letters })
		eventually(t, "all events are dead letters", func() bool {
			seen := 0
			for l, err := range deadletter.All(ctx, c, deadletter.Filter{Service: "vault", Handler: "on_moved"}) {
				if err != nil {
					t.Fatal(err)
				}
				seen++
				if l.Reason == "" || showsSecret(l.Reason) {
					t.Errorf("the reason of a dead letter is %q", l.Reason)
				}
			}
			return seen >= letters // those of an earlier run are there, too
		})
		for line := range strings.Lines(log.String()) {
			if showsSecret(line) {
				t.Errorf("the log shows a secret: %s", line)
			}
		}
	})
}

// TestLongValuesAreCutInTheLog has a handler's argument of 1 MB be wrong, so that
// an error tells it.
func TestLongValuesAreCutInTheLog(t *testing.T) {
	onMemory(t, func(dial func() broker.Broker) {
		var log logbook
		service := enoki.NewService("clock", enoki.Method("set", func(context.Context, time.Time) error { return nil }, "at"))
		run(t, dial(), enoki.Options{Logger: telemetry.NewLogger(&log, slog.LevelDebug, telemetry.JSON)}, service)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c := enoki.NewClient(dial(), &enoki.Options{Logger: quiet, Retries: new(false)})
		if _, err := c.Call(ctx, "clock", "set", []any{strings.Repeat("x", 1<<20)}, nil); err == nil {
			t.Error("a time of 1 MB is taken")
		}
		told := false
		for line := range strings.Lines(log.String()) {
			told = told || strings.Contains(line, `"method":"set"`) && strings.Contains(line, " bytes)")
			if len(line) > 4096 {
				t.Errorf("a line of the log has %d bytes: %.300s", len(line), line)
			}
		}
		if !told {
			t.Errorf("no line tells how long the value was: %.1000s", log.String())
		}
	})
}
