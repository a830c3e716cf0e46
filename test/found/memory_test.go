package found

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/testserver"
)

// lean is a service in a process of its own, whose memory for what arrives is
// 64 MiB.
type lean struct {
	cmd     *exec.Cmd
	address string
}

func startLean(t *testing.T, args ...string) *lean {
	t.Helper()
	program := filepath.Join(t.TempDir(), "memoryserver")
	if out, err := exec.Command("go", "build", "-o", program, "./memoryserver").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := &lean{cmd: exec.Command(program, args...)}
	s.cmd.Env = append(os.Environ(), "GOMEMLIMIT=off", "GOGC=100")
	s.cmd.Stderr = os.Stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait() // it was killed
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the service does not start: %v", err)
	}
	s.address = strings.TrimSpace(line)
	return s
}

// peak is the most memory that the process has had, in MiB.
func (s *lean) peak(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		testserver.Skip(t, "this system does not tell the memory of a process by /proc")
	}
	for line := range strings.Lines(string(text)) {
		if size, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.Atoi(strings.Fields(size)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n >> 10
		}
	}
	t.Fatalf("no VmHWM in %s", text)
	return 0
}

// mostMemory is how much the lean service may take, in MiB: what it has for
// what arrives, as much garbage, and itself. Without a bound each trial here
// takes from 1,000 to 8,000.
const mostMemory = 400

// wide is a document of n bytes that takes much more when it is decoded.
func wide(n int) string { return "[" + strings.Repeat("0,", n/2-1) + "0]" }

// No client is called slow (408) because its body waits.
func TestMemoryOfHTTPBodies(t *testing.T) {
	s := startLean(t)
	body := wide(1<<20 - 10)
	var all sync.WaitGroup
	var taken, later atomic.Int64
	for range 150 {
		all.Go(func() {
			res, err := http.Post("http://"+s.address+"/take", "application/json", strings.NewReader(body))
			if err != nil {
				return // refused before it was sent: it is cut off then
			}
			defer res.Body.Close()
			_, _ = io.Copy(io.Discard, res.Body)
			switch {
			case res.StatusCode == http.StatusNoContent:
				taken.Add(1)
			case res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") != "":
				later.Add(1)
			default:
				t.Errorf("status %d", res.StatusCode)
			}
		})
	}
	all.Wait()
	peak := s.peak(t)
	t.Logf("150 bodies of 1 MiB: %d taken, %d told to come later, %d MiB", taken.Load(), later.Load(), peak)
	if taken.Load() == 0 || peak > mostMemory {
		t.Errorf("%d taken, %d MiB, want some, within %d MiB", taken.Load(), peak, mostMemory)
	}
	eventually(t, "the memory is given back", func() bool {
		res, err := http.Post("http://"+s.address+"/take", "application/json", strings.NewReader(body))
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusNoContent
	})
}

// squeezed is n bytes of a document, compressed as kombu does.
func squeezed(t *testing.T, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	if _, err := fmt.Fprintf(w, `{"args":[%s],"kwargs":{}}`, wide(n)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Small messages that become large ones are handled as memory allows, or
// refused when each alone is too large.
func TestMemoryOfCompressedMessages(t *testing.T) {
	if rabbit == nil {
		testserver.Skip(t, "RabbitMQ is not installed")
	}
	s := startLean(t, "-amqp", rabbit.URL())
	conn, err := amqp091.Dial(rabbit.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	const replyTo = "memory-replies"
	if _, err := ch.QueueDeclare(replyTo, false, true, true, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.QueueBind(replyTo, replyTo, "nameko-rpc", false, nil); err != nil {
		t.Fatal(err)
	}
	replies, err := ch.Consume(replyTo, "", true, true, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
	defer cancel()
	sent := 0
	for size, count := range map[int]int{2 << 20: 30, 63 << 20: 20} {
		body := squeezed(t, size)
		for range count {
			sent++
			err := ch.PublishWithContext(ctx, "nameko-rpc", "memory.take", false, false, amqp091.Publishing{
				ContentType: "application/json", ContentEncoding: "utf-8", CorrelationId: strconv.Itoa(sent), ReplyTo: replyTo,
				Headers: amqp091.Table{"compression": "application/x-gzip"}, Body: body,
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	done, refused := 0, 0
	for range sent {
		select {
		case reply := <-replies:
			if bytes.Contains(reply.Body, []byte(`"error": null`)) || bytes.Contains(reply.Body, []byte(`"error":null`)) {
				done++
			} else {
				refused++
			}
		case <-ctx.Done():
			t.Fatalf("%d of %d answered: %v", done+refused, sent, ctx.Err())
		}
	}
	peak := s.peak(t)
	t.Logf("%d handled, %d refused, %d MiB", done, refused, peak)
	if done != 30 || refused != 20 || peak > mostMemory {
		t.Errorf("%d handled, %d refused, %d MiB; want 30, 20, at most %d MiB", done, refused, peak, mostMemory)
	}
}

// A compressed event that is more than a message may be becomes a dead letter,
// and events after it are handled.
func TestCompressedEventTooLarge(t *testing.T) {
	b := dialRabbitMQ(t)
	event := enoki.NewEvent[any]("squeezer", "squeezed")
	got := make(chan any, 1)
	letters := make(chan broker.DeadLetter, 1)
	run(t, b, enoki.Options{OnDeadLetter: func(l broker.DeadLetter) { letters <- l }}, enoki.NewService("unsqueezer",
		enoki.Subscription[any]{Event: event, Handle: func(_ context.Context, what any) error { got <- what; return nil }}))
	conn, err := amqp091.Dial(rabbit.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	bomb := squeezed(t, 63<<20)
	for _, body := range [][]byte{bomb, squeezed(t, 10)} {
		err := ch.PublishWithContext(t.Context(), "squeezer.events", "squeezed", true, false, amqp091.Publishing{
			ContentType: "application/json", ContentEncoding: "utf-8",
			Headers: amqp091.Table{"compression": "application/x-gzip"}, Body: body,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	select {
	case l := <-letters:
		if l.Source != "squeezer" || l.Event != "squeezed" || !bytes.Equal(l.Message.Body, bomb) {
			t.Errorf("the dead letter is of %s.%s, has %d bytes, and says %q", l.Source, l.Event, len(l.Message.Body), l.Reason)
		}
	case <-time.After(2 * patience):
		t.Error("there is no dead letter")
	}
	select {
	case what := <-got:
		if text := fmt.Sprint(what); !strings.Contains(text, "[0 0 0 0 0]") {
			t.Errorf("the event after it is %.100s", text)
		}
	case <-time.After(2 * patience):
		t.Error("the event after it is not handled")
	}
}

// What waits on sockets has the same bound: a socket for whose frames there is
// no memory in time is told to try again later.
func TestMemoryOfSockets(t *testing.T) {
	s := startLean(t)
	call := []byte(`{"method":"take","data":{"x":` + wide(1<<20-100) + `}}`)
	var all sync.WaitGroup
	var answered, later atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
	defer cancel()
	for range 24 {
		all.Go(func() {
			conn, _, err := coder.Dial(ctx, "ws://"+s.address+"/ws", nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.CloseNow()
			go func() {
				for range 4 {
					if conn.Write(ctx, coder.MessageText, call) != nil {
						return // the socket was closed, as the reader sees
					}
				}
			}()
			for n := range 5 { // the first is the event "connected"
				_, text, err := conn.Read(ctx)
				switch {
				case coder.CloseStatus(err) == coder.StatusTryAgainLater, err != nil && ctx.Err() == nil:
					later.Add(1)
					return
				case err != nil:
					t.Error(err)
					return
				case n > 0 && bytes.Contains(text, []byte(`"success":true`)):
					answered.Add(1)
				}
			}
		})
	}
	all.Wait()
	peak := s.peak(t)
	t.Logf("96 frames of 1 MiB: %d answered, %d sockets told to come later, %d MiB", answered.Load(), later.Load(), peak)
	if answered.Load() == 0 || peak > mostMemory {
		t.Errorf("%d answered, %d MiB, want some, within %d MiB", answered.Load(), peak, mostMemory)
	}
}
