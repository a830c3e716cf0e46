package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
)

func (c *cli) servicesCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "services [NAME]...",
		Short: "List the services that are alive, or those named",
		Long: `List the instances of services that are alive on the broker: their methods with
arguments ("?" marks an optional one), the events they handle and emit, and
what they run by the clock.

With --wait it waits for the broker, and until at least one instance of each
service named (of any, when none is named) is there; if that takes too long it
ends with code 124. Without it a name that is not there ends it with code 4.`,
		Example: example(
			`enoki services`,
			`enoki services register --json`,
			`enoki services push register --wait 30s`),
		ValidArgsFunction: c.completeService,
		RunE: func(cmd *cobra.Command, names []string) error {
			return c.services(cmd.Context(), names, wait)
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 0, "wait this long for them (default: don't)")
	return cmd
}

// listTimeout bounds a listing: the connection and one question to all.
const listTimeout = 10 * time.Second

func (c *cli) services(ctx context.Context, names []string, wait time.Duration) error {
	ctx, cancel := withTimeout(ctx, max(wait, listTimeout))
	defer cancel()
	deadline := time.Now().Add(wait)
	b, err := c.connectWithin(ctx, wait)
	if err != nil {
		return err
	}
	defer b.Close()
	for {
		all, err := b.Services(ctx)
		if err != nil {
			return fmt.Errorf("ask for the services: %w", err)
		}
		instances, missing := pick(all, names)
		switch {
		case len(missing) == 0:
			return c.printServices(instances)
		case wait == 0:
			return c.printSome(instances, names, missing, all)
		case !time.Now().Before(deadline):
			return enoki.Errorf(enoki.DeadlineExceeded, "%s did not come within %v%s", strings.Join(missing, ", "), wait, whatThereIs(missing, serviceNames(all)))
		}
		// Services has just waited for answers, so this asks no faster than a
		// few times a second.
	}
}

// printSome prints those of the services named that are there, and says what
// is missing.
func (c *cli) printSome(there []broker.Instance, names, missing []string, all []broker.Instance) error {
	if len(names) == 0 {
		return c.printServices(nil)
	}
	if len(there) > 0 || c.json {
		if err := c.printServices(there); err != nil {
			return err
		}
	}
	return enoki.Errorf(enoki.UnknownService, "%s is not alive%s", strings.Join(missing, ", "), whatThereIs(missing, serviceNames(all)))
}

// pick returns the instances of the services named, or all when none is, and
// says what is missing.
func pick(instances []broker.Instance, names []string) (picked []broker.Instance, missing []string) {
	if len(names) == 0 {
		if len(instances) == 0 {
			missing = []string{"a service"}
		}
		return instances, missing
	}
	seen := map[string]bool{}
	for _, i := range instances {
		if slices.Contains(names, i.Name) {
			picked = append(picked, i)
			seen[i.Name] = true
		}
	}
	return picked, slices.DeleteFunc(slices.Clone(names), func(name string) bool { return seen[name] })
}

func (c *cli) printServices(instances []broker.Instance) error {
	if c.json {
		return writeJSON(c.stdout, complete(instances))
	}
	if len(instances) == 0 {
		c.say("no service is alive on this broker")
		return nil
	}
	return writeTable(c.stdout, instances, time.Now())
}

// complete puts empty lists in the place of null, which programs would have to
// expect everywhere, and the version that an empty one means.
func complete(instances []broker.Instance) []broker.Instance {
	out := make([]broker.Instance, 0, len(instances))
	for _, i := range instances {
		i.Version = version(i)
		i.Methods = append([]broker.Method{}, i.Methods...)
		i.Handles = append([]broker.Event{}, i.Handles...)
		i.Emits = append([]broker.Event{}, i.Emits...)
		i.Crons = append([]broker.Cron{}, i.Crons...)
		out = append(out, i)
	}
	return out
}

// writeTable writes a row for each instance, with more lines below it when it
// has several methods or events.
func writeTable(w io.Writer, instances []broker.Instance, now time.Time) error {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SERVICE\tVERSION\tINSTANCE\tHOST\tUP\tMETHODS\tEVENTS")
	for _, i := range instances {
		methods, events := methodLines(i), eventLines(i)
		head := strings.Join([]string{i.Name, version(i), i.ID, i.Host, uptime(i, now)}, "\t")
		for line := range max(1, len(methods), len(events)) {
			fmt.Fprintf(table, "%s\t%s\t%s\n", head, at(methods, line), at(events, line))
			head = "\t\t\t\t"
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) { // an empty last column leaves blanks
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func methodLines(i broker.Instance) []string {
	var lines []string
	for _, m := range i.Methods {
		lines = append(lines, m.Name+"("+strings.Join(m.Args, ", ")+")")
	}
	return lines
}

func eventLines(i broker.Instance) []string {
	var lines []string
	for _, e := range i.Handles {
		line := "handles " + e.Source + "." + e.Name
		if e.Mode != broker.Pool {
			line += " (" + string(e.Mode) + ")"
		}
		lines = append(lines, line)
	}
	for _, e := range i.Emits {
		lines = append(lines, "emits "+e.Source+"."+e.Name)
	}
	for _, c := range i.Crons {
		lines = append(lines, "cron "+c.Name+" at "+c.Schedule)
	}
	return lines
}

func version(i broker.Instance) string {
	if i.Version == "" {
		return "0.0.0"
	}
	return i.Version
}

func uptime(i broker.Instance, now time.Time) string {
	if i.Started.IsZero() {
		return "-"
	}
	return max(0, now.Sub(i.Started)).Truncate(time.Second).String()
}

func at(lines []string, n int) string {
	if n < len(lines) {
		return lines[n]
	}
	return ""
}
