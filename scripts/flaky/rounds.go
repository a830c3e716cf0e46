package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/enoki-go/enoki/scripts/gotest"
)

// rounds runs the same tests again and again.
type rounds struct {
	out      io.Writer
	terminal bool // out can overwrite its last line
	flags    []string
	modules  []gotest.Module

	begun int
	ran   map[string]int // how often a test, or a package, ended
	found []*finding

	mu    sync.Mutex // over the fields below: the status is written beside the round
	ended int        // packages of this round
	shown bool       // the last line is the status
}

// finding is something that failed.
type finding struct {
	name  string
	times int
	of    string // the test or package whose runs are counted
	first string // what it said the first time
}

// run makes n rounds, or fewer when ctx ends.
func (r *rounds) run(ctx context.Context, n int) {
	r.ran = map[string]int{}
	for r.begun < n && ctx.Err() == nil {
		r.begun++
		r.round(ctx, n)
	}
}

func (r *rounds) round(ctx context.Context, n int) {
	start := time.Now()
	r.ended = 0
	stop := r.keepStatus(n, start)
	failed := 0
	for _, m := range r.modules {
		var log gotest.Log
		log.Package = func(name string, ended bool) {
			if ended && ctx.Err() == nil { // what an interrupt ended has not failed
				failed += r.note(&log, name)
			}
		}
		var stderr strings.Builder
		err := gotest.Run(ctx, m.Dir, &log, &stderr, slices.Concat(r.flags, m.Patterns)...)
		if err != nil && ctx.Err() == nil {
			failed += r.fail(err.Error(), "", stderr.String())
		}
	}
	stop()
	if ctx.Err() != nil {
		r.say("round %d of %d: interrupted after %s\n", r.begun, n, took(start))
		return
	}
	r.say("round %d of %d: %d failed, %s\n", r.begun, n, failed, took(start))
}

// note takes down what failed in a package that has ended, and says how much
// that was.
func (r *rounds) note(log *gotest.Log, pkg string) (failed int) {
	r.packageEnded()
	r.ran[pkg]++
	for test := range log.Ran {
		if test.Package == pkg {
			r.ran[test.String()]++
		}
	}
	for _, f := range log.Failures {
		if f.Package != pkg {
			continue
		}
		for _, name := range f.Failed {
			failed += r.fail(pkg+" "+name, f.Test.String(), f.Output)
		}
	}
	for _, b := range log.Broken {
		if b.Package == pkg {
			failed += r.fail(b.String(), pkg, b.Output)
		}
	}
	for _, race := range log.Races {
		if race.Package == pkg {
			failed += r.fail("a data race, reported in "+race.String(), pkg, race.Output)
		}
	}
	return failed
}

func (r *rounds) packageEnded() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended++
}

func (r *rounds) fail(name, of, output string) int {
	i := slices.IndexFunc(r.found, func(f *finding) bool { return f.name == name })
	if i < 0 {
		i = len(r.found)
		r.found = append(r.found, &finding{name: name, of: of, first: output})
	}
	r.found[i].times++
	r.say("  failed: %s (%s so far)\n", name, r.share(r.found[i]))
	return 1
}

// share says how often something failed, of how many times it ran.
func (r *rounds) share(f *finding) string {
	of := r.ran[f.of]
	if f.of == "" {
		of = r.begun
	}
	return fmt.Sprintf("%d of %d", f.times, max(of, f.times))
}

// report lists what failed, the most frequent first, and what each said.
func (r *rounds) report() {
	if len(r.found) == 0 {
		r.say("\nNothing failed in %d rounds.\n", r.begun)
		return
	}
	slices.SortStableFunc(r.found, func(a, b *finding) int { return cmp.Compare(b.times, a.times) })
	for _, f := range r.found {
		r.say("\n--- %s: %s\n%s", f.name, r.share(f), f.first)
	}
	r.say("\nfailed in %d rounds:\n", r.begun)
	for _, f := range r.found {
		r.say("  %s: %s\n", r.share(f), f.name)
	}
}
