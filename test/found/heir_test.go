package found

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/host"
	"github.com/enoki-go/enoki/internal/testserver"
)

// TestTheProcessWithTheBrokerEnds: of those that have found the broker of their
// project in another process, one runs it when that process ends, and nothing
// is lost. All of them waited for ever.
func TestTheProcessWithTheBrokerEnds(t *testing.T) {
	program := filepath.Join(t.TempDir(), "enoki")
	if said, err := exec.Command("go", "build", "-o", program, "../../cmd/enoki").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	interrupt := func(s *testserver.Server) {
		if p, err := os.FindProcess(s.PID()); err != nil || p.Signal(os.Interrupt) != nil {
			t.Fatal("it can't be interrupted")
		}
	}
	for name, end := range map[string]func(*testserver.Server){"stopped": interrupt, "killed": (*testserver.Server).Kill} {
		t.Run(name, func(t *testing.T) {
			server := testserver.Enoki(t, program)
			var said saying
			dial := func() broker.Broker {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				b, err := (&host.Dialer{StoreDir: filepath.Join(server.Dir(), "data"), Logger: slog.New(slog.NewTextHandler(&said, nil))}).Dial(ctx, "")
				return linked(t, b, err)
			}
			paid := enoki.NewEvent[string]("shop", "paid")
			got := make(chan string, 100)
			handler := func() *enoki.Service {
				return enoki.NewService("mail", enoki.On(paid, func(_ context.Context, s string) error { got <- s; return nil }))
			}
			links := []broker.Broker{dial(), dial(), dial()}
			stop := run(t, links[0], enoki.Options{}, handler())
			client := enoki.NewClient(links[2], &enoki.Options{Logger: quiet})
			emit := func(what string) {
				t.Helper()
				eventually(t, "emit "+what, func() bool { return enoki.Emitter(client, paid)(t.Context(), what) == nil })
			}
			emit("before")
			if s := receive(t, got); s != "before" {
				t.Fatalf("got %q", s)
			}
			stop()
			emit("kept")
			end(server)
			emit("after")
			run(t, links[1], enoki.Options{}, handler())
			await(t, got, "kept", "after")
			// One that was interrupted may still answer meanwhile.
			eventually(t, "a process says that it runs the broker now", func() bool { return said.count("this process runs it now") > 0 })
			if n := said.count("this process runs it now"); n != 1 {
				t.Errorf("%d processes say that they run the broker now, want 1:\n%s", n, said.text.String())
			}

			if err := links[0].Close(); err != nil { // which may be the one
				t.Error(err)
			}
			emit("again")
			await(t, got, "again")
			newcomer := enoki.NewClient(dial(), &enoki.Options{Logger: quiet})
			if err := enoki.Emitter(newcomer, paid)(t.Context(), "newcomer"); err != nil {
				t.Error(err)
			}
			await(t, got, "newcomer")
		})
	}
}

// await waits until all of these have come; one may come twice.
func await(t *testing.T, got <-chan string, want ...string) {
	t.Helper()
	missing := make(map[string]bool)
	for _, s := range want {
		missing[s] = true
	}
	for end := time.After(patience); len(missing) > 0; {
		select {
		case s := <-got:
			delete(missing, s)
		case <-end:
			t.Fatal(fmt.Sprint("these did not come: ", missing))
		}
	}
}

func (s *saying) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), what)
}
