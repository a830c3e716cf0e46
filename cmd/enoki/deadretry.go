package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/deadletter"
)

// deadJob does one thing with many dead letters.
type deadJob struct {
	cli  *cli
	verb string // retry or discard
	past string // of the verb, for people
	do   func(l *deadletter.Letter, ctx context.Context) error

	all    bool
	dryRun bool
	ask    bool // before many
}

func (c *cli) deadRetryCommand(o *deadOptions) *cobra.Command {
	job := &deadJob{cli: c, verb: "retry", past: "retried", do: (*deadletter.Letter).Retry}
	cmd := &cobra.Command{
		Use:   "retry ID|GROUP... | --all",
		Short: "Send dead letters back to the handlers they came from",
		Long: `Send dead letters back to the handlers they came from, with their ids and context
data: those named, those that the flags let through, or all. Their attempts
start anew. A letter is gone once its message is stored for its handler, so
nothing is lost; what dies again is a letter again.`,
		Example: example(
			`enoki dead retry 5m2kq7xw3dza`,
			`enoki dead retry g1b8d0f3a --dry-run`,
			`enoki dead retry --service push --since 2h`,
			`enoki dead retry --all`),
		ValidArgsFunction: c.completeDead(o, true),
		RunE:              job.run(o),
	}
	job.flags(cmd)
	return cmd
}

func (c *cli) deadDiscardCommand(o *deadOptions) *cobra.Command {
	job := &deadJob{cli: c, verb: "discard", past: "discarded", do: (*deadletter.Letter).Discard}
	var yes bool
	cmd := &cobra.Command{
		Use:   "discard ID|GROUP... | --all",
		Short: "Forget dead letters for good",
		Long: `Forget dead letters for good: those named, those that the flags let through, or
all. It asks before it discards more than one, unless --yes is given.`,
		Example: example(
			`enoki dead discard 5m2kq7xw3dza`,
			`enoki dead discard g1b8d0f3a --yes`,
			`enoki dead discard --service push --until 720h --dry-run`),
		ValidArgsFunction: c.completeDead(o, true),
	}
	job.flags(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask")
	cmd.RunE = func(cmd *cobra.Command, words []string) error {
		job.ask = !yes
		return job.run(o)(cmd, words)
	}
	return cmd
}

func (j *deadJob) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&j.all, "all", false, "all dead letters")
	cmd.Flags().BoolVar(&j.dryRun, "dry-run", false, "show which ones it would be, and do nothing")
}

func (j *deadJob) run(o *deadOptions) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, words []string) error {
		return j.cli.withDead(cmd.Context(), o, words, j.work)
	}
}

func (j *deadJob) work(ctx context.Context, client *enoki.Client, o *deadOptions) error {
	switch {
	case j.all && len(o.words) > 0:
		return usageError{fmt.Errorf("--all and %s exclude each other", strings.Join(o.words, " "))}
	case !j.all && o.picksAll():
		return usageError{fmt.Errorf("which ones? name letters or groups, choose by --service, --handler, --since and --until, or give --all")}
	case j.dryRun:
		return j.show(ctx, client, o)
	case j.ask:
		return j.askFirst(ctx, client, o)
	}
	return j.each(ctx, client, o)
}

// show lists what would be done.
func (j *deadJob) show(ctx context.Context, client *enoki.Client, o *deadOptions) error {
	groups, err := deadletter.Groups(ctx, client, o.filter)
	if err != nil {
		return err
	}
	if j.cli.json {
		return writeJSON(j.cli.stdout, groups)
	}
	if len(groups) > 0 {
		if err := writeGroups(j.cli.stdout, groups); err != nil {
			return err
		}
	}
	j.cli.say("would %s %s", j.verb, letters(count(groups)))
	return nil
}

func count(groups []deadletter.Group) (n int) {
	for _, g := range groups {
		n += g.Count
	}
	return n
}

func letters(n int) string {
	if n == 1 {
		return "1 dead letter"
	}
	return fmt.Sprintf("%d dead letters", n)
}

// askFirst asks whether it may be done to many, and then does it to those that
// it has asked about, and to no others that came meanwhile.
func (j *deadJob) askFirst(ctx context.Context, client *enoki.Client, o *deadOptions) error {
	ids := map[string]bool{}
	for l, err := range deadletter.All(ctx, client, o.filter) {
		if err != nil {
			return err
		}
		ids[l.ID] = true
	}
	if len(ids) > 1 {
		fmt.Fprintf(j.cli.stderr, "%s %s for good? [y/N] ", j.verb, letters(len(ids)))
		answer, err := bufio.NewReader(j.cli.stdin).ReadString('\n')
		answer = strings.ToLower(strings.TrimSpace(answer))
		if err != nil && answer == "" {
			j.cli.say("")
			return usageError{errors.New("nobody answers, so nothing was done; give --yes where nobody can")}
		}
		if answer != "y" && answer != "yes" {
			j.cli.say("nothing was done")
			return reported{1}
		}
	}
	if len(ids) > 0 {
		o.filter.IDs, o.filter.Groups = slices.Collect(maps.Keys(ids)), nil
	}
	return j.each(ctx, client, o)
}

// each does the job and goes on over letters that can't be done, until the
// broker itself fails.
func (j *deadJob) each(ctx context.Context, client *enoki.Client, o *deadOptions) error {
	p := newProgress(j.cli, j.past)
	seen := map[string]bool{}
	var failures []deadFailure
	for l, err := range deadletter.All(ctx, client, o.filter) {
		if err != nil {
			p.end()
			return fmt.Errorf("%s %s, then: %w", j.past, letters(p.done), err)
		}
		seen[l.ID], seen[l.Group] = true, true
		if err := j.do(l, ctx); err != nil {
			failures = append(failures, deadFailure{ID: l.ID, Message: err.Error(), err: err})
			continue
		}
		p.step()
	}
	p.end()
	return errors.Join(j.tell(p.done, failures), missed(o.words, seen))
}

// deadFailure is a letter that could not be done.
type deadFailure struct {
	ID      string `json:"id"`
	Message string `json:"message"`
	err     error
}

// tell says what was done. The error is that of the first letter that could
// not be.
func (j *deadJob) tell(done int, failures []deadFailure) error {
	if j.cli.json {
		result := map[string]any{j.past: done, "failed": append([]deadFailure{}, failures...)}
		if err := writeJSON(j.cli.stdout, result); err != nil {
			return err
		}
	} else {
		j.cli.say("%s %s", j.past, letters(done))
	}
	if len(failures) == 0 {
		return nil
	}
	const shown = 10
	for i, f := range failures[1:] {
		if i == shown {
			j.cli.say("and %d more", len(failures)-1-shown)
			break
		}
		j.cli.say("%s", f.Message)
	}
	return fmt.Errorf("%s could not be %s, the first one: %w", letters(len(failures)), j.past, failures[0].err)
}

// progress tells on a terminal how far a long job has come, and elsewhere now
// and then.
type progress struct {
	cli   *cli
	past  string
	done  int
	every time.Duration
	next  time.Time
	told  bool
}

func newProgress(c *cli, past string) *progress {
	p := &progress{cli: c, past: past, every: 10 * time.Second}
	if isTerminal(c.stderr) {
		p.every = 200 * time.Millisecond
	}
	p.next = time.Now().Add(p.every)
	return p
}

func (p *progress) step() {
	p.done++
	now := time.Now()
	if p.cli.json || now.Before(p.next) {
		return
	}
	p.next, p.told = now.Add(p.every), true
	if isTerminal(p.cli.stderr) {
		fmt.Fprintf(p.cli.stderr, "\r%s %d …", p.past, p.done)
		return
	}
	p.cli.say("%s %d so far", p.past, p.done)
}

// end leaves an empty line for what follows.
func (p *progress) end() {
	if p.told && isTerminal(p.cli.stderr) {
		fmt.Fprint(p.cli.stderr, "\r\x1b[K")
	}
}
