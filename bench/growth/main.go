// Command growth measures how Enoki grows: with services in a process, methods
// of a service, instances, bytes of the document and callers. It writes every
// curve as numbers (CSV) and as pictures (SVG). See ../README.md.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"github.com/enoki-go/enoki/internal/testserver"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "growth:", err)
		os.Exit(1)
	}
}

// plan says how much is measured, and where it goes.
type plan struct {
	rounds   int
	turn     time.Duration
	pattern  *regexp.Regexp
	numbers  string // directory of the CSV files
	pictures string // directory of the SVG files
}

func run(args []string, out io.Writer) error {
	if len(args) == 2 && args[0] == serviceRole {
		return serveRole(args[1])
	}
	flags := flag.NewFlagSet("growth", flag.ContinueOnError)
	p := plan{}
	flags.IntVar(&p.rounds, "rounds", 3, "turns of each point")
	flags.DurationVar(&p.turn, "turn", 500*time.Millisecond, "length of a turn")
	flags.StringVar(&p.numbers, "results", "results/growth", "directory for the numbers")
	flags.StringVar(&p.pictures, "pictures", "results/growth", "directory for the pictures")
	only := flags.String("run", ".", "regular expression: which curves, as CURVE/BROKER; the others stay as they were")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if p.pattern, err = regexp.Compile(*only); err != nil {
		return err
	}
	for _, dir := range []string{p.numbers, p.pictures} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return p.measure(out)
}

// measure goes through the curves, and starts each broker when the first one
// needs it.
func (p *plan) measure(out io.Writer) error {
	servers := map[string]*testserver.Server{}
	defer func() {
		for _, s := range servers {
			s.Stop()
		}
	}()
	for _, c := range curves() {
		rows, err := p.curve(&c, servers, out)
		if len(rows) > 0 {
			err = errors.Join(err, c.save(p.numbers, p.pictures, rows))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// curve takes the points of all brokers in turn, upwards and then downwards,
// so that what the machine does meanwhile meets all of them.
func (p *plan) curve(c *curve, servers map[string]*testserver.Server, out io.Writer) ([]row, error) {
	points, err := p.points(c, servers)
	if err != nil {
		return nil, err
	}
	for round := range p.rounds {
		for i := range points {
			if round%2 == 1 {
				i = len(points) - 1 - i
			}
			s, err := points[i].take(p.turn)
			if err != nil {
				return nil, fmt.Errorf("%s, %d: %w", points[i].broker, points[i].x, err)
			}
			points[i].samples = append(points[i].samples, s)
		}
	}
	var rows []row
	for i := range points {
		r := points[i].row()
		fmt.Fprintf(out, "%s: %s\n", c.name, r)
		rows = append(rows, r)
	}
	return rows, nil
}

func (p *plan) points(c *curve, servers map[string]*testserver.Server) ([]point, error) {
	var points []point
	for _, kind := range c.brokers {
		if !p.pattern.MatchString(c.name + "/" + kind) {
			continue
		}
		url, err := start(kind, servers)
		if err != nil {
			return nil, err
		}
		for _, x := range c.xs {
			points = append(points, point{broker: kind, x: x, work: c.work(x).on(url, c.name, x)})
		}
	}
	return points, nil
}

// start returns the URL of a broker, which runs then if it is one of its own.
func start(kind string, servers map[string]*testserver.Server) (string, error) {
	starter := map[string]func() (*testserver.Server, error){"nats": testserver.StartNATSFast, "amqp": testserver.StartRabbitMQ}[kind]
	if starter == nil {
		return kind + ":", nil // in the process of the services
	}
	if servers[kind] == nil {
		s, err := starter()
		if err != nil {
			return "", err
		}
		servers[kind] = s
	}
	return servers[kind].URL(), nil
}
