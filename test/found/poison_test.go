package found

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/deadletter"
	"github.com/enoki-go/enoki/internal/testserver"
)

// poisonURL names the environment variable by which a test has this program
// run as a process that a message ends.
const poisonURL = "ENOKI_FOUND_POISON"

// dieOfPoison is that process: it handles events, and ends at those that say
// so; the others wait for a while beside them. It stops when its input ends.
func dieOfPoison(url, handler string) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	b, err := dialURL(ctx, url)
	if err != nil {
		fmt.Println("dial:", err)
		os.Exit(1)
	}
	handle := func(ctx context.Context, what string) error {
		if what == "kill" {
			fmt.Println("attempt", enoki.Attempt(ctx))
			os.Exit(3) // as a fatal error of the runtime does
		}
		time.Sleep(300 * time.Millisecond)
		fmt.Println("innocent", enoki.Attempt(ctx))
		return nil
	}
	sub := enoki.Subscription[string]{Event: enoki.NewEvent[string]("poison", handler), Handle: handle, Name: handler}
	switch handler {
	case "pool":
		sub.OnError = enoki.Retry{Attempts: 2}
	case "requeued":
		sub.OnError = enoki.Requeue{}
	case "ordered":
		sub.OrderBy = func(s string) string { return s }
	}
	o := &enoki.Options{Logger: quiet, OnReady: func() { fmt.Println("ready") }, OnDeadLetter: func(l broker.DeadLetter) {
		fmt.Println("letter", l.Handler, l.Kind, l.Attempts, l.Message.ID)
	}}
	err = enoki.Run(ctx, b, o, enoki.NewService("poisoned",
		enoki.Method("kill", func(context.Context) error { fmt.Println("attempt"); os.Exit(3); return nil }),
		sub))
	if err == nil && b.Close() == nil {
		os.Exit(0)
	}
	fmt.Println("ended:", err)
	os.Exit(1)
}

func dialURL(ctx context.Context, url string) (broker.Broker, error) {
	if strings.HasPrefix(url, "amqp") {
		return amqp.Dial(ctx, amqp.Config{URL: url, Logger: quiet})
	}
	return nats.Dial(ctx, nats.Config{URL: url, AckWait: time.Second, Logger: quiet})
}

// poisoned runs the process until it dies, or says what is wanted, and returns
// what it has said.
func poisoned(t *testing.T, url, handler string, until func(line string) bool) (said []string, died bool) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), poisonURL+"="+url+" "+handler)
	in, inErr := cmd.StdinPipe()
	out, err := cmd.StdoutPipe()
	if err = errors.Join(err, inErr); err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(2*patience, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said = append(said, lines.Text())
		if until(lines.Text()) {
			_ = in.Close()
		}
	}
	_ = cmd.Wait()
	code := cmd.ProcessState.ExitCode()
	if code != 0 && code != 3 {
		t.Fatalf("the process ended with code %d and said %q", code, said)
	}
	return said, code == 3
}

// TestMessageThatEndsItsProcess: after some processes it is a dead letter that
// says so, and those beside it are handled, uncounted.
func TestMessageThatEndsItsProcess(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) *testserver.Server{
		"nats": func(t *testing.T) *testserver.Server { return testserver.NATS(t) },
		"amqp": func(t *testing.T) *testserver.Server { return testserver.RabbitMQ(t) },
	} {
		t.Run(name, func(t *testing.T) {
			url := start(t).URL()
			for _, handler := range []string{"pool", "requeued", "ordered"} {
				t.Run(handler, func(t *testing.T) { isPoison(t, url, handler) })
			}
		})
	}
}

// TestMessageThatEndsItsProcessOnAQuorumQueue: the queue would give up what came
// back five times; it becomes a dead letter first.
func TestMessageThatEndsItsProcessOnAQuorumQueue(t *testing.T) {
	isPoison(t, quorumVhost(t, "5"), "pool")
}

func isPoison(t *testing.T, url, handler string) {
	poisoned(t, url, handler, func(line string) bool { return line == "ready" }) // it subscribes
	b, err := dialURL(t.Context(), url)
	c := client(t, linked(t, b, err))
	const innocents = 3
	for n := range innocents + 1 {
		what := "kill"
		if n > 0 {
			what = fmt.Sprint("innocent ", n)
		}
		if err := c.Emit(t.Context(), "poison", handler, what); err != nil {
			t.Fatal(err)
		}
	}
	deaths, handled, letter := 0, 0, ""
	var all []string
	for (letter == "" || handled < innocents) && deaths < 12 {
		said, died := poisoned(t, url, handler, func(line string) bool {
			switch {
			case strings.HasPrefix(line, "innocent "):
				handled++
				if !strings.HasSuffix(line, " 1") {
					t.Errorf("one beside it was told %q, want attempt 1", line)
				}
			case strings.HasPrefix(line, "letter "):
				letter = line
			}
			return letter != "" && handled >= innocents
		})
		all = append(all, said...)
		if died {
			deaths++
		}
	}
	want := fmt.Sprintf("letter %s %s %d ", handler, broker.KindNoOutcome, broker.AttemptsBeside+broker.AttemptsAlone)
	if !strings.HasPrefix(letter, want) || deaths != broker.AttemptsBeside+broker.AttemptsAlone {
		t.Errorf("after %d deaths: %q, want %d and %q; all that was said: %q", deaths, letter, broker.AttemptsBeside+broker.AttemptsAlone, want, all)
	}
	for l, err := range deadletter.All(t.Context(), c, deadletter.Filter{Service: "poisoned", Handler: handler}) {
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("letter: %s", l.Reason)
		if err := l.Discard(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRequestThatEndsItsProcess: RabbitMQ gives it to the next process, and
// after some of them its caller has an error.
func TestRequestThatEndsItsProcess(t *testing.T) {
	url := testserver.RabbitMQ(t).URL()
	poisoned(t, url, "pool", func(line string) bool { return line == "ready" }) // it is known
	b, err := dialURL(t.Context(), url)
	c := enoki.NewClient(linked(t, b, err), &enoki.Options{Logger: quiet, Timeout: 4 * patience})
	ended := make(chan error, 1)
	go func() {
		_, err := c.Call(context.Background(), "poisoned", "kill", nil, nil)
		ended <- err
	}()
	for deaths := 0; ; deaths++ {
		if deaths > broker.AttemptsBeside+broker.AttemptsAlone {
			t.Fatalf("it has ended %d processes", deaths)
		}
		var err error
		got := make(chan struct{})
		_, died := poisoned(t, url, "pool", func(line string) bool {
			if line == "ready" && deaths == broker.AttemptsBeside+broker.AttemptsAlone {
				go func() { err = <-ended; close(got) }()
				<-got
				return true
			}
			return false
		})
		if died {
			continue
		}
		if enoki.CodeOf(err) != enoki.Internal || !strings.Contains(fmt.Sprint(err), broker.ErrNoOutcome.Error()) {
			t.Errorf("the call ended with code %q: %v", enoki.CodeOf(err), err)
		}
		if deaths != broker.AttemptsBeside+broker.AttemptsAlone {
			t.Errorf("it has ended %d processes, want %d", deaths, broker.AttemptsBeside+broker.AttemptsAlone)
		}
		return
	}
}
