package harness

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// Plan says how much is measured.
type Plan struct {
	Rounds int           // turns of each case
	Turn   time.Duration // length of one
	Warm   time.Duration // work that is not counted, before the first turn
	Quick  bool          // 128 bytes and 16 callers only, where a group has them

	Profiles string // directory for CPU profiles of the cases named enoki; none when empty
}

// Run measures the groups and returns what it found. It says on progress what
// it does. A case that can't be had is listed in the result, with the reason.
func Run(plan Plan, groups []Group, root string, progress io.Writer) (*Result, error) {
	b := brokers{}
	defer b.stop()
	result := &Result{Date: time.Now().UTC(), Plan: plan, Machine: describeMachine(root)}
	for i := range groups {
		g := &groups[i]
		for _, size := range plan.sizes(g) {
			r := &runner{plan: plan, group: g, size: size, root: root, brokers: b, result: result, progress: progress}
			if err := r.run(); err != nil {
				return result, fmt.Errorf("%s: %w", g.Name, err)
			}
		}
	}
	b.describe(result.Machine.Versions)
	return result, nil
}

const (
	quickSize    = 128
	quickCallers = 16
)

func (p *Plan) sizes(g *Group) []int   { return p.pick(g.Sizes, quickSize) }
func (p *Plan) callers(g *Group) []int { return p.pick(g.Callers, quickCallers) }
func (p *Plan) pick(all []int, quick int) []int {
	for _, n := range all {
		if p.Quick && n == quick {
			return []int{n}
		}
	}
	return all
}

// runner measures one group with one size of document.
type runner struct {
	plan     Plan
	group    *Group
	size     int
	root     string
	brokers  brokers
	result   *Result
	progress io.Writer

	pairs []*pair // base first
}

func (r *runner) run() error {
	defer func() {
		for _, p := range r.pairs {
			p.stop()
		}
	}()
	r.start()
	if len(r.pairs) == 0 || r.pairs[0].Name != r.group.Base {
		return fmt.Errorf("the base %s can't be had", r.group.Base)
	}
	for _, callers := range r.plan.callers(r.group) {
		if err := r.measure(callers); err != nil {
			return err
		}
	}
	return r.profile()
}

// start starts every case that can be had, the base first.
func (r *runner) start() {
	for _, base := range []bool{true, false} {
		for i := range r.group.Cases {
			c := &r.group.Cases[i]
			if (c.Name == r.group.Base) != base || !c.measuredAt(r.size) || c.Slow && r.plan.Quick {
				continue
			}
			p, err := r.startCase(c)
			if err != nil {
				r.missing(c.Name, err)
				continue
			}
			r.pairs = append(r.pairs, p)
		}
	}
}

func (r *runner) startCase(c *Case) (*pair, error) {
	if c.Available != nil {
		if err := c.Available(); err != nil {
			return nil, err
		}
	}
	w := &Work{Case: r.group.Name + "/" + c.Name, Size: r.size, Root: r.root}
	server, err := r.brokers.start(c.Broker)
	if err != nil {
		return nil, err
	}
	pid := 0
	if server != nil {
		w.Broker, pid = server.URL(), server.PID()
	}
	return startPair(c, w, pid)
}

func (r *runner) missing(name string, err error) {
	m := Missing{Group: r.group.Name, Case: name, Reason: err.Error()}
	if slices.Contains(r.result.Missing, m) {
		return // with another size already
	}
	fmt.Fprintf(r.progress, "%s/%s can't be had: %v\n", r.group.Name, name, err)
	r.result.Missing = append(r.result.Missing, m)
}

// measure takes the cases in turn. Two cases share the turn of the base that
// lies between them, so that what the machine does meanwhile meets both sides
// of each ratio: a base b, c base d, and backwards in every other round.
func (r *runner) measure(callers int) error {
	s := &Series{Group: r.group.Name, Base: r.group.Base, Size: r.size, Callers: callers, Goals: r.group.goals(callers)}
	r.result.Series = append(r.result.Series, s)
	base, others := r.pairs[0], r.with(callers)
	for _, p := range append([]*pair{base}, others...) {
		if _, err := p.turn(order{Callers: callers, Time: r.plan.Warm}); err != nil {
			return err
		}
	}
	for round := range r.plan.Rounds {
		for i := 0; i < max(len(others), 1); i += 2 {
			if err := r.around(s, round, callers, base, others[i:min(i+2, len(others))]); err != nil {
				return err
			}
		}
	}
	fmt.Fprintln(r.progress, s)
	return nil
}

func (r *runner) with(callers int) []*pair {
	var out []*pair
	for _, p := range r.pairs[1:] {
		if p.measuredWith(callers) {
			out = append(out, p)
		}
	}
	return out
}

// around takes the turns of the base and of up to two cases around it.
func (r *runner) around(s *Series, round, callers int, base *pair, cases []*pair) error {
	turns := append([]*pair{base}, cases...)
	if len(turns) == 3 && round%2 == 0 {
		turns = []*pair{cases[0], base, cases[1]}
	} else if len(turns) == 3 {
		turns = []*pair{cases[1], base, cases[0]}
	}
	var set Set
	for _, p := range turns {
		t, err := p.turn(order{Callers: callers, Time: r.plan.Turn * time.Duration(max(r.group.Longer, 1))})
		if err != nil {
			return err
		}
		t.Round = round
		set = append(set, t)
	}
	s.Sets = append(s.Sets, set)
	return nil
}

// profile takes CPU profiles of both processes of Enoki's cases.
func (r *runner) profile() error {
	if r.plan.Profiles == "" {
		return nil
	}
	if err := os.MkdirAll(r.plan.Profiles, 0o755); err != nil {
		return err
	}
	var failures []error
	for _, p := range r.pairs {
		if p.isEnoki() {
			failures = append(failures, p.profile(r.plan.Profiles, quickCallers))
		}
	}
	return errors.Join(failures...)
}
