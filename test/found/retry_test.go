package found

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/internal/testserver"
)

// TestNamekoAMQPRetry: a Python service that sends the request of a Go caller
// again answers it in the end, and lives: an AMQP expiration ended it. When it
// is gone, an instance in Go gets what it sent again, under its method.
func TestNamekoAMQPRetry(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	client := client(t, dialRabbitMQ(t))
	python := testserver.Python(t, "nameko-amqp-retry", filepath.Join("python", "requirements-retry.txt"))
	service := exec.Command(python, "-c", "from nameko.cli.main import main; main()", "run", "--broker", rabbit.URL(), "payments")
	service.Dir = "python"
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = service.Wait(); close(ended) }()
	t.Cleanup(func() { _ = service.Process.Kill(); <-ended })
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	for order := range 3 {
		var said []byte
		var err error
		for { // until Python has started
			said, err = client.Call(ctx, "payments", "charge", []any{order}, nil)
			if enoki.CodeOf(err) != enoki.UnknownService || ctx.Err() != nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if want := `"charged ` + string(rune('0'+order)) + `"`; err != nil || string(said) != want {
			t.Fatalf("got %s and %v, want %s", said, err, want)
		}
	}
	select {
	case <-ended:
		t.Fatal("the Python service has ended")
	default:
	}

	answered := make(chan error, 1)
	go func() {
		said, err := client.Call(ctx, "payments", "never", []any{"7"}, nil)
		if err == nil && string(said) != `"Go has 7"` {
			t.Errorf("got %s, want the answer of Go", said)
		}
		answered <- err
	}()
	ch := foreign(t)
	for { // until Python has sent the request away
		waits, err := ch.QueueDeclarePassive("backoff--500ms", true, false, false, false, nil)
		if err != nil {
			ch = foreign(t)
		} else if waits.Messages > 0 {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("Python does not send the request again")
		}
		time.Sleep(5 * time.Millisecond)
	}
	_ = service.Process.Kill()
	<-ended
	run(t, dialRabbitMQ(t), enoki.Options{}, enoki.NewService("payments",
		enoki.Method("never", func(_ context.Context, order string) (string, error) { return "Go has " + order, nil }, "order")))
	if err := <-answered; err != nil {
		t.Errorf("the request that Python had sent again: %v", err)
	}
}
