package harness

import (
	"fmt"
	"os"
	"time"
)

// pair is a case that runs: its service and its client.
type pair struct {
	Case
	work      *Work
	service   *process // nil when it has none
	client    *process
	beside    []int // ids of further processes of the service
	brokerPID int   // 0 without a broker of its own
}

// startPair starts the processes of a case and returns when the first
// operation has succeeded.
func startPair(c *Case, w *Work, brokerPID int) (*pair, error) {
	p := &pair{Case: *c, work: w, brokerPID: brokerPID}
	err := p.startService()
	if err == nil {
		err = p.startClient()
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("%s: %w", w.Case, err)
	}
	return p, nil
}

func (p *pair) startService() (err error) {
	if p.work.Dir, err = os.MkdirTemp("", "enoki-bench-"); err != nil {
		return err
	}
	switch {
	case p.Program != nil:
		cmd, err := p.Program(p.work)
		if err != nil {
			return err
		}
		p.service, err = startProcess(cmd)
		return err
	case p.Serve != nil:
		if p.service, err = startRole(serviceRole, p.work); err != nil {
			return err
		}
		var r ready
		err = p.service.hear(&r, 0)
		p.work.Address, p.beside = r.Address, r.Beside
	}
	return err
}

func (p *pair) startClient() (err error) {
	if p.Client == nil {
		p.client, err = startRole(clientRole, p.work)
	} else {
		cmd, failed := p.Client(p.work)
		if failed != nil {
			return failed
		}
		p.client, err = startProcess(cmd)
	}
	if err != nil {
		return err
	}
	return p.client.hear(&ready{}, 0)
}

func (p *pair) stop() {
	for _, process := range []*process{p.client, p.service} {
		if process != nil {
			process.stop()
		}
	}
	_ = os.RemoveAll(p.work.Dir) // a directory left in TMPDIR harms nobody
}

// Turn is what one case did in one turn, and what it cost.
type Turn struct {
	Case    string        `json:"case"`
	Round   int           `json:"round"`
	Calls   int           `json:"calls"`
	Elapsed time.Duration `json:"elapsed_ns"`
	P50     time.Duration `json:"p50_ns"`
	P99     time.Duration `json:"p99_ns"`
	Errors  int           `json:"errors,omitempty"`
	Error   string        `json:"error,omitempty"`

	// CPU time.
	Client  time.Duration `json:"client_cpu_ns"`
	Service time.Duration `json:"service_cpu_ns"`
	Broker  time.Duration `json:"broker_cpu_ns"`
	Others  float64       `json:"others"` // share of all cores that others used meanwhile

	ClientMallocs  uint64 `json:"client_mallocs"`
	ServiceMallocs uint64 `json:"service_mallocs"` // 0 for a program in another language
}

// turn has the client work for a while.
func (p *pair) turn(o order) (*Turn, error) {
	before, err := p.count("")
	if err != nil {
		return nil, err
	}
	cpu := p.readCPU()
	var r report
	if err := p.client.ask(o, &r, o.Time); err != nil {
		return nil, err
	}
	t := &Turn{Case: p.Name, Calls: r.Calls, Elapsed: r.Elapsed, P50: r.P50, P99: r.P99,
		Errors: r.Errors, Error: r.Error, ClientMallocs: r.Mallocs}
	after, err := p.count("")
	if err == nil && p.Counted {
		after, err = p.drain(before.Done + int64(r.Calls))
		t.Elapsed = time.Duration(after.Last - r.Begun)
	}
	t.ServiceMallocs = after.Mallocs - before.Mallocs
	t.spent(cpu, p.readCPU())
	return t, err
}

// count asks the service, if it can be asked.
func (p *pair) count(profile string) (c count, err error) {
	if p.service == nil || p.Program != nil {
		return c, nil
	}
	return c, p.service.ask(ask{Profile: profile}, &c, 0)
}

// drain waits until the service has counted as many operations as were begun.
func (p *pair) drain(want int64) (count, error) {
	for deadline := time.Now().Add(answerTimeout); ; time.Sleep(5 * time.Millisecond) {
		c, err := p.count("")
		if err != nil || c.Done >= want {
			return c, err
		}
		if time.Now().After(deadline) {
			return c, fmt.Errorf("%s: %d of %d operations came through within %v", p.work.Case, c.Done, want, answerTimeout)
		}
	}
}

// cpuReading is the CPU time of all at one moment.
type cpuReading struct {
	when                    time.Time
	client, service, broker time.Duration
	machine                 time.Duration
}

func (p *pair) readCPU() cpuReading {
	r := cpuReading{when: time.Now(), machine: busyTime()}
	r.client, _ = cpuTime(p.client.pid()) // 0 where it can't be read
	if p.service != nil {
		r.service, _ = cpuTime(p.service.pid())
	}
	for _, pid := range p.beside {
		cpu, _ := cpuTime(pid)
		r.service += cpu
	}
	if p.brokerPID != 0 {
		r.broker, _ = cpuTime(p.brokerPID)
	}
	return r
}

func (t *Turn) spent(before, after cpuReading) {
	t.Client = after.client - before.client
	t.Service = after.service - before.service
	t.Broker = after.broker - before.broker
	others := after.machine - before.machine - t.Client - t.Service - t.Broker
	t.Others = max(0, others.Seconds()/after.when.Sub(before.when).Seconds()/cores())
}
