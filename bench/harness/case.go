// Package harness runs ways to do the same work against each other: in turn,
// each in processes of its own, beside a base that stands as 1.00. It counts
// what was done in a turn and what it cost, and keeps every turn in a file.
//
// What the work is, and the ways to do it, is left to the packages of cases.
package harness

import (
	"context"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
)

// Group is one kind of work and the ways to do it.
type Group struct {
	Name    string // as in the flag -run and in the results
	About   string // a line for the reader of the table
	Base    string // name of the case that is 1.00
	Sizes   []int  // bytes of the document
	Callers []int  // how many do the work at once
	Cases   []Case
	Longer  int // how many times longer its turns are; 0 is 1
	Goals   []Goal
}

// Goal is what a case is to reach beside another one.
type Goal struct {
	Case    string  `json:"case"`
	Against string  `json:"against"`
	What    string  `json:"what"` // a name in Measures
	Least   float64 `json:"least"`
	Callers []int   `json:"callers,omitempty"` // with these only
}

// Case is one way to do the work of its group. It is run by two processes: the
// service, which is told to Serve, and the client, which is told to Dial and
// then runs the operation in many goroutines.
type Case struct {
	Name   string
	About  string // what it is, for the reader; may be empty
	Broker Broker // the server that it needs; None is no other process

	// Serve starts the service and returns the address for the client, which
	// may be empty. It serves until the process ends. Nil is a case without a
	// service of its own.
	Serve func(ctx context.Context, w *Work) (address string, err error)

	// Dial connects the client and returns the operation, which many
	// goroutines call at once.
	Dial func(ctx context.Context, w *Work) (Operation, error)

	// Program and Client, when set, stand in the place of Serve and Dial: the
	// commands of programs in other languages. See process.go for what they
	// read and write.
	Program, Client func(w *Work) (*exec.Cmd, error)

	// Counted says that an operation is done when the service has counted it
	// by Work.Done, not when it returns: events.
	Counted bool

	// Callers, when set, are those of the group that the case is measured
	// with; Sizes the same.
	Callers, Sizes []int

	// Slow is left out of quick runs.
	Slow bool

	// Available returns why the case can't be had here, or nil. Nil is always.
	Available func() error
}

// Operation does the work once, and returns when it is done.
type Operation func(ctx context.Context) error

// Work is what both processes of a case know of it.
type Work struct {
	Case    string // group/name
	Broker  string // URL of the broker
	Address string // what Serve returned; for the client only
	Dir     string // an empty directory of the service's own
	Size    int    // bytes of the document
	Root    string // directory of the module bench

	counter counter
	beside  []*process // services that this one has started
}

// Done counts an operation in the service; it may be called concurrently.
func (w *Work) Done() { w.counter.add() }

// Start starts the service of another case, GROUP/CASE, in a process of its own
// beside this one, and returns when it serves. It is for Serve. Its CPU time
// counts as the service's, and it ends with this process.
func (w *Work) Start(name, broker string) error {
	p, err := startRole(serviceRole, &Work{Case: name, Broker: broker, Dir: w.Dir, Size: w.Size, Root: w.Root})
	if err != nil {
		return err
	}
	w.beside = append(w.beside, p)
	return p.hear(&ready{}, 0)
}

// pidsBeside are the processes that Start has started.
func (w *Work) pidsBeside() []int {
	var pids []int
	for _, p := range w.beside {
		pids = append(pids, p.pid())
	}
	return pids
}

// Name returns a name for the service of this case, its queue or its subject,
// that no other case uses: letters, digits and '_'.
func (w *Work) Name() string {
	return "bench_" + notWord.ReplaceAllString(w.Case, "_") + "_" + strconv.Itoa(w.Size)
}

var notWord = regexp.MustCompile(`[^a-zA-Z0-9]+`)

func (c *Case) measuredWith(callers int) bool {
	return len(c.Callers) == 0 || slices.Contains(c.Callers, callers)
}

func (c *Case) measuredAt(size int) bool {
	return len(c.Sizes) == 0 || slices.Contains(c.Sizes, size)
}

// goals returns those that hold with a number of callers.
func (g *Group) goals(callers int) []Goal {
	var out []Goal
	for _, goal := range g.Goals {
		if len(goal.Callers) == 0 || slices.Contains(goal.Callers, callers) {
			out = append(out, goal)
		}
	}
	return out
}

// Reach makes a goal for each of the measures.
func Reach(least float64, name, against string, measures ...string) []Goal {
	var out []Goal
	for _, what := range measures {
		out = append(out, Goal{Case: name, Against: against, What: what, Least: least})
	}
	return out
}
