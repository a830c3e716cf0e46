package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/bench/document"
	"github.com/enoki-go/enoki/bench/service"
	"github.com/enoki-go/enoki/broker"
)

// The service process is this program again, with a role as its first argument
// and the work as its second. It says once in a line of JSON what it is like
// when it serves, answers every further line with its CPU time so far, and
// ends with its input.
const serviceRole = "service"

type served struct {
	Address    string
	Start      time.Duration
	Memory     float64
	Goroutines float64
}

type spent struct{ CPU time.Duration }

func serveRole(text string) error {
	var w work
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return err
	}
	s, err := serve(context.Background(), &w)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(s); err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if err := out.Encode(spent{cpuTime()}); err != nil {
			return err
		}
	}
	return nil
}

// serve runs the services and returns when all of them take work.
func serve(ctx context.Context, w *work) (*served, error) {
	first, address, err := w.link(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := service.Run(ctx, first, w.services()...); err != nil {
		return nil, err
	}
	for range w.Instances - 1 {
		link, err := service.Dial(ctx, address)
		if err != nil {
			return nil, err
		}
		if err := service.Run(ctx, link, w.called()); err != nil {
			return nil, err
		}
	}
	s := &served{Address: address, Start: time.Since(began)}
	runtime.GC() // twice: a pool gives back what it has at the second one
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.Memory, s.Goroutines = float64(m.HeapAlloc+m.StackInuse), float64(runtime.NumGoroutine())
	return s, nil
}

// link returns a link to the broker, and where others reach it.
func (w *work) link(ctx context.Context) (broker.Broker, string, error) {
	if !strings.HasPrefix(w.Broker, "embedded:") {
		link, err := service.Dial(ctx, w.Broker)
		return link, w.Broker, err
	}
	dir, err := os.MkdirTemp("", "enoki-growth-") // left in TMPDIR; it is small
	if err != nil {
		return nil, "", err
	}
	server, link, err := service.Embedded(ctx, dir, true)
	if err != nil {
		return nil, "", err
	}
	return link, server.URL(), nil
}

// store is the contract of what is called.
type store struct {
	Put func(ctx context.Context, d document.Document) (document.Document, error) `rpc:"put" args:"document"`
}

func put(_ context.Context, d document.Document) (document.Document, error) { return d, nil }

func (w *work) services() []*enoki.Service {
	services := []*enoki.Service{w.called()}
	for i := range w.Services {
		name := fmt.Sprintf("%s_idle_%d", w.Name, i)
		services = append(services, enoki.NewService(name, enoki.RPC(store{Put: put}),
			enoki.On(enoki.NewEvent[document.Document](name, "happened"), func(context.Context, document.Document) error { return nil })))
	}
	return services
}

func (w *work) called() *enoki.Service {
	parts := []enoki.Part{enoki.RPC(store{Put: put})}
	for i := range w.Methods {
		parts = append(parts, enoki.Method(fmt.Sprintf("idle_%d", i), put, "document"))
	}
	return enoki.NewService(w.Name, parts...)
}

// process is the service process, seen by the caller.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func startProcess(w *work) (*process, *served, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	text, err := json.Marshal(w)
	if err != nil {
		return nil, nil, err
	}
	p := &process{cmd: exec.Command(self, serviceRole, string(text))}
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	p.out = json.NewDecoder(out)
	if err := p.cmd.Start(); err != nil {
		return nil, nil, err
	}
	var s served
	if err := p.out.Decode(&s); err != nil {
		p.stop()
		return nil, nil, fmt.Errorf("the service process: %w", err)
	}
	return p, &s, nil
}

func (p *process) cpu() (time.Duration, error) {
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		return 0, err
	}
	var s spent
	err := p.out.Decode(&s)
	return s.CPU, err
}

func (p *process) stop() {
	_ = p.in.Close() // it may have ended by itself
	_ = p.cmd.Wait() // and how it ended does not matter any more
}
