package main

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/enoki-go/enoki/bench/chart"
)

// curve is something that grows, and what is drawn of it.
type curve struct {
	name     string
	x        string // what grows
	xs       []int
	brokers  []string
	work     func(x int) work
	pictures []picture
}

// picture is a number of each row, over what grows.
type picture struct {
	name, title, y string
	of             func(r *row) float64
}

// work is what the service process serves and what the caller's does.
type work struct {
	Broker    string // URL
	Name      string // of the service
	Services  int    // idle ones beside it
	Methods   int    // idle ones beside the one that is called
	Instances int    // of the service, each with a link of its own

	callers, size int
}

func (w work) on(url, curve string, x int) work {
	w.Broker, w.Name = url, fmt.Sprintf("growth_%s_%d", curve, x)
	w.Instances = max(w.Instances, 1)
	return w
}

const (
	manyCallers = 16
	smallBytes  = 128
)

func curves() []curve {
	small := work{callers: manyCallers, size: smallBytes}
	cpu := picture{"cpu", "", "CPU µs a call, caller + service", func(r *row) float64 { return r.cpu }}
	titled := func(p picture, title string) picture { p.title = title; return p }
	rate := picture{"rate", "", "calls/s", func(r *row) float64 { return r.rate }}
	all := []string{"nats", "embedded", "amqp"}
	return []curve{
		{
			name: "services", x: "services in a process", xs: []int{1, 3, 10, 30, 100, 300, 1000}, brokers: []string{"nats", "embedded", "amqp", "memory"},
			work: func(x int) work { w := small; w.Services = x - 1; return w },
			pictures: []picture{
				{"memory", "Memory of a process of services", "MB of heap and stacks", func(r *row) float64 { return r.memory / 1e6 }},
				{"start", "Time until all services take work", "ms", func(r *row) float64 { return r.start.Seconds() * 1e3 }},
				titled(cpu, "A call to one of many services in a process"),
			},
		}, {
			name: "methods", x: "methods of the service", xs: []int{1, 10, 100, 1000, 10_000}, brokers: all,
			work:     func(x int) work { w := small; w.Methods = x - 1; return w },
			pictures: []picture{titled(cpu, "A call to one of many methods")},
		}, {
			name: "instances", x: "instances of the service", xs: []int{1, 3, 10, 30, 100}, brokers: all,
			work:     func(x int) work { w := small; w.Instances, w.callers = x, 128; return w },
			pictures: []picture{titled(cpu, "Calls by 128 callers to many instances")},
		}, {
			name: "payload", x: "bytes of the document", xs: []int{128, 1024, 8192, 65_536, 262_144, 1_000_000}, brokers: all,
			work:     func(x int) work { w := small; w.size = x; return w },
			pictures: []picture{titled(cpu, "Calls with small and large documents")},
		}, {
			name: "callers", x: "callers at once", xs: []int{1, 4, 16, 64, 256, 1024}, brokers: all,
			work: func(x int) work { w := small; w.callers = x; return w },
			pictures: []picture{titled(rate, "Calls by many callers at once"), titled(cpu, "Calls by many callers at once"),
				{"p99", "Calls by many callers at once", "ms that 1 of 100 calls exceeds", func(r *row) float64 { return r.p99.Seconds() * 1e3 }}},
		},
	}
}

// point is a place on the curve of a broker.
type point struct {
	broker  string
	x       int
	work    work
	samples []sample
}

// sample is what was measured in a turn.
type sample struct {
	start      time.Duration // until all services took work
	memory     float64       // bytes of heap and stacks of the idle service process
	goroutines float64       // of it
	calls      int
	elapsed    time.Duration
	p50, p99   time.Duration
	cpu        time.Duration // of caller and service
}

// row is what the samples of a point come to: the medians, but rate and times
// are the best, because nothing lies beside it to compare with,
// and the others rather measure what else runs on the machine.
type row struct {
	broker           string
	x                int
	start, p50, p99  time.Duration
	memory           float64 // bytes
	goroutines, rate float64
	cpu              float64 // µs a call
}

func (p *point) row() row {
	best := slices.MaxFunc(p.samples, func(a, b sample) int { return cmp.Compare(a.rate(), b.rate()) })
	return row{
		broker: p.broker, x: p.x,
		p50: best.p50, p99: best.p99, rate: best.rate(), start: slices.MinFunc(p.samples, byStart).start,
		memory:     p.median(func(s *sample) float64 { return s.memory }),
		goroutines: p.median(func(s *sample) float64 { return s.goroutines }),
		cpu:        p.median(func(s *sample) float64 { return float64(s.cpu.Nanoseconds()) / 1e3 / float64(max(s.calls, 1)) }),
	}
}

func byStart(a, b sample) int { return cmp.Compare(a.start, b.start) }

func (s *sample) rate() float64 { return float64(s.calls) / max(s.elapsed.Seconds(), 1e-9) }

func (p *point) median(of func(s *sample) float64) float64 {
	var values []float64
	for i := range p.samples {
		values = append(values, of(&p.samples[i]))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func (r row) String() string {
	return fmt.Sprintf("%s, %d: ready after %.0f ms with %.1f MB and %.0f goroutines; %.0f calls/s, p50 %v, p99 %v, %.1f µs CPU",
		r.broker, r.x, r.start.Seconds()*1e3, r.memory/1e6, r.goroutines, r.rate, r.p50, r.p99, r.cpu)
}

var columns = []string{"broker", "x", "start_ms", "memory_bytes", "goroutines", "calls_per_s", "p50_us", "p99_us", "cpu_us_per_call"}

func (r row) fields() []string {
	f := func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }
	us := func(d time.Duration) string { return f(float64(d.Nanoseconds()) / 1e3) }
	return []string{r.broker, strconv.Itoa(r.x), f(r.start.Seconds() * 1e3), f(r.memory), f(r.goroutines), f(r.rate), us(r.p50), us(r.p99), f(r.cpu)}
}

func parseRow(fields []string) (row, error) {
	if len(fields) != len(columns) {
		return row{}, fmt.Errorf("a line has %d fields, want %d", len(fields), len(columns))
	}
	var n [9]float64 // of all but the first, which is a name
	for i := 1; i < len(columns); i++ {
		var err error
		if n[i], err = strconv.ParseFloat(fields[i], 64); err != nil {
			return row{}, err
		}
	}
	unit := func(v float64, unit time.Duration) time.Duration { return time.Duration(v * float64(unit)) }
	return row{
		broker: fields[0], x: int(n[1]), start: unit(n[2], time.Millisecond), memory: n[3], goroutines: n[4], rate: n[5],
		p50: unit(n[6], time.Microsecond), p99: unit(n[7], time.Microsecond), cpu: n[8],
	}, nil
}

// save writes the rows as growth-NAME.csv, beside those of other points that are
// there from earlier, and growth-NAME-PICTURE.svg for each picture.
func (c *curve) save(numbers, pictures string, rows []row) error {
	path := filepath.Join(numbers, "growth-"+c.name+".csv")
	rows, err := withEarlier(path, rows)
	if err != nil {
		return err
	}
	if err := writeRows(path, rows); err != nil {
		return err
	}
	for i := range c.pictures {
		path := filepath.Join(pictures, "growth-"+c.name+"-"+c.pictures[i].name+".svg")
		if err := os.WriteFile(path, []byte(c.chart(&c.pictures[i], rows).SVG()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// withEarlier adds the rows of a file that are of other points.
func withEarlier(path string, rows []row) ([]row, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return rows, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, fields := range lines[min(1, len(lines)):] {
		old, err := parseRow(fields)
		if err != nil {
			return nil, fmt.Errorf("%s: %w; delete it to measure anew", path, err)
		}
		if !slices.ContainsFunc(rows, func(r row) bool { return r.broker == old.broker && r.x == old.x }) {
			rows = append(rows, old)
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.broker, b.broker), cmp.Compare(a.x, b.x)) })
	return rows, nil
}

func writeRows(path string, rows []row) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	lines := [][]string{columns}
	for _, r := range rows {
		lines = append(lines, r.fields())
	}
	return errors.Join(csv.NewWriter(file).WriteAll(lines), file.Close())
}

func (c *curve) chart(p *picture, rows []row) *chart.Chart {
	out := &chart.Chart{Title: p.title, X: c.x, Y: p.y}
	for _, kind := range c.brokers {
		line := chart.Line{Name: brokerNames[kind]}
		for i := range rows {
			if rows[i].broker == kind {
				line.Points = append(line.Points, chart.Point{X: float64(rows[i].x), Y: p.of(&rows[i])})
			}
		}
		if len(line.Points) > 0 {
			out.Lines = append(out.Lines, line)
		}
	}
	return out
}

var brokerNames = map[string]string{"nats": "NATS", "embedded": "embedded", "amqp": "RabbitMQ", "memory": "memory"}
