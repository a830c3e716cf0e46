package enokitest_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/enokitest"
)

// comment is the payload of an event.
type comment struct {
	User string `json:"user"`
	Text string `json:"text"`
}

var (
	posted = enoki.NewEvent[comment]("comments", "posted")
	pushed = enoki.NewEvent[string]("push", "pushed")
)

// register is a contract.
type register struct {
	Email func(ctx context.Context, user string) (string, error)        `rpc:"email" args:"user"`
	Names func(ctx context.Context) (first, last string, failure error) `rpc:"names"`
}

// push is a service that needs another one, handles an event and emits one.
type push struct {
	register register
	tell     enoki.Emit[string]
	swept    atomic.Int64
}

func (p *push) onPosted(ctx context.Context, c comment) error {
	email, err := p.register.Email(ctx, c.User)
	if err != nil {
		return err
	}
	return p.tell(ctx, email)
}

func (p *push) sweep(context.Context) error {
	p.swept.Add(1)
	return nil
}

func newPush() (*push, *enoki.Service) {
	p := &push{}
	return p, enoki.NewService("push",
		enoki.Needs("register", &p.register),
		enoki.Emits(pushed, &p.tell),
		enoki.On(posted, p.onPosted),
		enoki.Method("length", func(_ context.Context, text string) (int, error) { return len(text), nil }, "text"),
		enoki.Every(time.Minute, p.sweep),
		enoki.Cron("30 * * * *", p.sweep, enoki.TimerName("clean")))
}

func mockedRegister() *enokitest.Mock {
	return enokitest.NewMock("register", register{
		Email: func(_ context.Context, user string) (string, error) { return user + "@example.org", nil },
	})
}

// TestPush is a whole test of a service: its event, what it calls and what it
// emits.
func TestPush(t *testing.T) {
	_, service := newPush()
	register := mockedRegister()
	kit := enokitest.Run(t, register.Service(), service)
	sent := enokitest.Capture(t, kit, pushed)

	enokitest.Emit(t, kit, posted, comment{User: "ada", Text: "Hello"})
	if got := kit.WaitFor(t, "push", "on_posted"); got.Err != nil || !reflect.DeepEqual(got.Args, []any{comment{User: "ada", Text: "Hello"}}) {
		t.Errorf("on_posted: got %+v", got)
	}
	if got := sent.Next(t); got != "ada@example.org" {
		t.Errorf("told %q, want ada@example.org", got)
	}
	want := []enokitest.MockCall{{Method: "email", Args: []any{"ada"}, Results: []any{"ada@example.org"}}}
	if got := register.Calls(); !reflect.DeepEqual(got, want) {
		t.Errorf("register got calls %+v, want %+v", got, want)
	}

	var p struct {
		Length func(ctx context.Context, text string) (int, error) `args:"text"`
	}
	kit.Bind(t, "push", &p)
	if n, err := p.Length(t.Context(), "four"); n != 4 || err != nil {
		t.Errorf("Length: got %d and error %v", n, err)
	}
}

func TestMockWithoutAFunction(t *testing.T) {
	kit := enokitest.Run(t, mockedRegister().Service())
	var r register
	kit.Bind(t, "register", &r)
	if _, _, err := r.Names(t.Context()); err == nil || !strings.Contains(err.Error(), "the mock of register has no Names") {
		t.Errorf("got error %v, want one that names what is missing", err)
	}
}

func TestOnlySomeEntrypoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, service := newPush()
		kit := enokitest.Run(t, mockedRegister().Service(), enokitest.Only(service, "length", "on_posted"))
		time.Sleep(time.Hour)
		if p.swept.Load() > 0 {
			t.Errorf("a timer ticked %d times that was left out", p.swept.Load())
		}
		enokitest.Emit(t, kit, posted, comment{User: "ada"})
		kit.WaitFor(t, "push", "on_posted")
	})
	_, service := newPush()
	if err := enokitest.Only(service, "sweeep").Check(); err == nil || !strings.Contains(err.Error(), `"sweeep"`) || !strings.Contains(err.Error(), "clean, length, on_posted, sweep") {
		t.Errorf("Check: got error %v, want one that names what there is", err)
	}
}

// TestVirtualTime lets hours of timers, delayed events and retries pass.
func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		p, service := newPush()
		flaky := enoki.NewService("flaky", enoki.On(posted, func(context.Context, comment) error {
			if attempts++; attempts < 5 {
				return errors.New("not yet")
			}
			return nil
		}))
		kit := enokitest.Run(t, mockedRegister().Service(), service, flaky)
		kit.Patience = 24 * time.Hour
		if err := enoki.Emitter(kit.Client, posted)(t.Context(), comment{User: "ada"}, enoki.After(6*time.Hour)); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		kit.WaitFor(t, "push", "on_posted")
		if waited := time.Since(begun); waited < 6*time.Hour {
			t.Errorf("the event of in 6 hours came after %v", waited)
		}
		for range 4 {
			if got := kit.WaitFor(t, "flaky", "on_posted"); got.Err == nil {
				t.Error("an attempt that failed: got no error")
			}
		}
		if got := kit.WaitFor(t, "flaky", "on_posted"); got.Err != nil {
			t.Errorf("the last attempt: got error %v", got.Err)
		}
		synctest.Wait()
		if p.swept.Load() < 6*60+6 {
			t.Errorf("timers ticked %d times in 6 hours, want at least %d", p.swept.Load(), 6*60+6)
		}
	})
}
