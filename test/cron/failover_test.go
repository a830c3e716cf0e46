//go:build unix

// Package cron runs a cron in processes of their own on real brokers, and
// kills and stops the one whose turn it is.
package cron

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/host"
	"github.com/enoki-go/enoki/internal/testserver"
)

// brokerVariable makes this program an instance with a cron on the broker that
// it names.
const brokerVariable = "ENOKI_TEST_CRON_BROKER"

func TestMain(m *testing.M) {
	if url := os.Getenv(brokerVariable); url != "" {
		if err := instance(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// instance writes a line for each run, until it is told to end.
func instance(url string) error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	b, err := host.Dial(ctx, url, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer b.Close()
	return enoki.Run(ctx, b, &enoki.Options{OnReady: func() { fmt.Println("ready") }},
		enoki.NewService("books", enoki.Cron("@every 1s", tick)))
}

func tick(context.Context) error {
	_, err := fmt.Println("tick")
	return err
}

// patience bounds every wait, on a machine that does much else.
const patience = time.Minute

// failover is how long a killed or stopped holder may keep the others waiting:
// 5 s and the second between two times, and as long again for a busy machine.
const failover = 12 * time.Second

// child is an instance in a process.
type child struct {
	*exec.Cmd
	name string
}

// run is one run of the cron, as it is read from an instance.
type run struct {
	by *child
	at time.Time
}

// cluster is instances on one broker.
type cluster struct {
	*testing.T
	url  string
	runs chan run
	all  []run
}

// start starts an instance and returns once it takes part.
func (c *cluster) start(name string) *child {
	c.Helper()
	p := &child{exec.Command(os.Args[0]), name}
	p.Env = append(os.Environ(), brokerVariable+"="+c.url)
	p.Stderr = os.Stderr
	out, err := p.StdoutPipe()
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		c.Fatal(err)
	}
	ready, ended := make(chan bool, 1), make(chan bool)
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if lines.Text() == "ready" {
				ready <- true
				continue
			}
			c.runs <- run{p, time.Now()}
		}
	}()
	c.Cleanup(func() {
		_ = p.Process.Kill() // it may have ended
		<-ended
		_ = p.Wait()
	})
	select {
	case <-ready:
	case <-time.After(patience):
		c.Fatalf("instance %s is not ready after %v", name, patience)
	}
	return p
}

// next waits for a run of another instance than not, which may be nil.
func (c *cluster) next(not *child) run {
	c.Helper()
	late := time.After(patience)
	for {
		select {
		case r := <-c.runs:
			c.all = append(c.all, r)
			if r.by != not {
				return r
			}
		case <-late:
			c.Fatalf("the cron did not run for %v", patience)
		}
	}
}

// send sends a signal to the holder and waits until the cron runs elsewhere.
func (c *cluster) send(s syscall.Signal, to *child) run {
	c.Helper()
	begun := time.Now()
	if err := to.Process.Signal(s); err != nil {
		c.Fatal(err)
	}
	r := c.next(to)
	took := r.at.Sub(begun)
	c.Logf("%v of %s: %s ran after %v", s, to.name, r.by.name, took.Round(10*time.Millisecond))
	if took > failover {
		c.Errorf("after %v the cron ran on another instance after %v, want it within %v", s, took, failover)
	}
	return r
}

// TestHolderIsLost loses the instance whose turn it is, in every way.
func TestHolderIsLost(t *testing.T) {
	for name, url := range map[string]func(t *testing.T) string{
		"embedded": startEmbedded,
		"nats":     func(t *testing.T) string { return testserver.NATS(t).URL() },
		"rabbitmq": func(t *testing.T) string { return testserver.RabbitMQ(t).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &cluster{T: t, url: url(t), runs: make(chan run, 1000)}
			c.start("first")
			c.start("second")
			holder := c.next(nil).by

			r := c.send(syscall.SIGKILL, holder)
			c.start("third")
			stopped := r.by
			r = c.send(syscall.SIGSTOP, stopped)
			if err := stopped.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			r = c.send(syscall.SIGTERM, r.by)
			c.next(nil)
			c.checkOnce()
		})
	}
}

// checkOnce checks that no second had two runs: no more ran than seconds
// passed, and two for the ends and a broker that is slow, after which the next
// run follows at once.
func (c *cluster) checkOnce() {
	c.Helper()
	span := c.all[len(c.all)-1].at.Sub(c.all[0].at)
	if most := int(span/time.Second) + 3; len(c.all) > most {
		c.Errorf("the cron of every second ran %d times in %v, want at most %d", len(c.all), span, most)
	}
}

func startEmbedded(t *testing.T) string {
	server, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Port: -1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	return server.URL()
}
