package memory_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/internal/uuid"
)

// join attaches a service for the length of the test.
func join(t *testing.T, b broker.Broker, s broker.Service) {
	t.Helper()
	s.ID, s.Workers = "1", 1
	m, err := b.Join(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Leave(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestHourOfRetryDelayPassesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		start := time.Now()
		var at []time.Duration
		join(t, b, broker.Service{
			Instance: broker.Instance{Name: "mail"},
			Subscriptions: []broker.Subscription{{Source: "shop", Event: "sold", Handler: "send",
				Handle: func(_ context.Context, m *broker.Message) broker.Settlement {
					at = append(at, time.Since(start))
					if m.Attempt == 1 {
						return broker.Settlement{Verdict: broker.Retry, Delay: time.Hour}
					}
					return broker.Settlement{}
				}}},
		})
		if err := b.Emit(t.Context(), "shop", "sold", &broker.Message{ID: "1"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // of the bubble
		synctest.Wait()
		if len(at) != 2 || at[0] != 0 || at[1] != time.Hour {
			t.Errorf("the event was handled after %v, want at once and after 1h", at)
		}
	})
}

func TestDeadlineOfCallThatIsAlwaysHandedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		join(t, b, broker.Service{
			Instance: broker.Instance{Name: "busy"},
			Serve:    func(context.Context, string, *broker.Message) *broker.Message { return nil },
		})
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := b.Call(ctx, "busy", "m", &broker.Message{})
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 10*time.Second {
			t.Errorf("got error %v after %v, want the deadline after 10s", err, took)
		}
	})
}

func TestCallFailsWhenLastInstanceLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		release := make(chan struct{})
		m, err := b.Join(t.Context(), broker.Service{
			Instance: broker.Instance{Name: "busy"}, Workers: 1,
			Serve: func(context.Context, string, *broker.Message) *broker.Message {
				<-release
				return &broker.Message{}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		errs := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := b.Call(t.Context(), "busy", "m", &broker.Message{})
				errs <- err
			}()
		}
		synctest.Wait() // one call runs, the other one waits
		left := make(chan error, 1)
		go func() { left <- m.Leave(t.Context()) }()
		if err := <-errs; !errors.Is(err, broker.ErrUnknownService) {
			t.Errorf("the call that was not started: got error %v, want %v", err, broker.ErrUnknownService)
		}
		close(release)
		if err := errors.Join(<-errs, <-left); err != nil {
			t.Errorf("the call that ran, and Leave: got error %v, want nil", err)
		}
	})
}

func TestContextDataThatCannotTravel(t *testing.T) {
	b := memory.New()
	m := &broker.Message{Context: map[string]any{"user": []any{struct{ Name string }{"ann"}}}}
	_, callErr := b.Call(t.Context(), "svc", "m", m)
	for what, err := range map[string]error{"Call": callErr, "Emit": b.Emit(t.Context(), "svc", "e", m)} {
		if !errors.Is(err, broker.ErrNotDelivered) || !strings.Contains(err.Error(), `"user"`) {
			t.Errorf("%s: got error %v, want ErrNotDelivered that names the key", what, err)
		}
	}
}

func TestServiceThatCannotWork(t *testing.T) {
	handle := func(context.Context, *broker.Message) broker.Settlement { return broker.Settlement{} }
	for want, s := range map[string]broker.Service{
		"workers is 0":    {},
		"has no function": {Workers: 1, Subscriptions: []broker.Subscription{{Source: "s", Event: "e"}}},
		`has mode "all"`:  {Workers: 1, Subscriptions: []broker.Subscription{{Source: "s", Event: "e", Mode: "all", Handle: handle}}},
	} {
		if _, err := memory.New().Join(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Join: got error %v, want one that says %q", err, want)
		}
	}
}

// TestMessageThatEndsItsProcess: a link that is closed under a handler stands
// for a process that has ended.
func TestMessageThatEndsItsProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		var mu sync.Mutex // guards what follows
		attempts, letters := map[string]int{}, []broker.DeadLetter{}
		join := func() *memory.Broker {
			link := b.Link()
			sub := broker.Subscription{Source: "s", Event: "e", Handler: "h", Handle: func(ctx context.Context, m *broker.Message) broker.Settlement {
				mu.Lock()
				attempts[string(m.Body)] = m.Attempt
				mu.Unlock()
				if string(m.Body) != "kill" {
					time.Sleep(100 * time.Millisecond)
					return broker.Settlement{}
				}
				go link.Close()
				<-ctx.Done()
				return broker.Settlement{}
			}}
			s := broker.Service{Instance: broker.Instance{Name: "svc", ID: uuid.New()}, Workers: 10, Subscriptions: []broker.Subscription{sub},
				Buried: func(l broker.DeadLetter) { mu.Lock(); defer mu.Unlock(); letters = append(letters, l) }}
			if _, err := link.Join(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			return link
		}
		deaths := 0
		link := join()
		for _, body := range []string{"kill", "a", "b"} {
			if err := b.Emit(t.Context(), "s", "e", &broker.Message{Body: []byte(body)}); err != nil {
				t.Fatal(err)
			}
		}
		buried := func() int { mu.Lock(); defer mu.Unlock(); return len(letters) }
		for buried() == 0 && deaths < 20 {
			time.Sleep(time.Minute)
			if link.Ready() != nil {
				deaths++
				link = join()
			}
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if deaths != 5 || len(letters) != 1 || letters[0].Kind != broker.KindNoOutcome || letters[0].Attempts != 5 {
			t.Errorf("after %d deaths got the letters %+v, want one of 5 attempts after 5", deaths, letters)
		}
		if attempts["a"] != 1 || attempts["b"] != 1 {
			t.Errorf("those beside it had the attempts %v, want 1", attempts)
		}
		_ = link.Close()
	})
}
