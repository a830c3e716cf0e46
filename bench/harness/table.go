package harness

import (
	"fmt"
	"strings"
	"time"
)

// Table returns the result as Markdown.
func (r *Result) Table() string {
	var b strings.Builder
	r.heading(&b)
	for _, s := range r.Series {
		s.table(&b)
	}
	r.goals(&b)
	if len(r.Missing) > 0 {
		fmt.Fprintf(&b, "\nNot to be had:\n\n")
	}
	for _, m := range r.Missing {
		reason := strings.Join(strings.Fields(m.Reason), " ")
		fmt.Fprintf(&b, "- %s/%s: %s\n", m.Group, m.Case, reason[:min(len(reason), 300)])
	}
	if len(r.Micro) > 0 {
		fmt.Fprintf(&b, "\n**The framework alone**, by make microbench\n\n```\n%s\n```\n", strings.Join(r.Micro, "\n"))
	}
	return b.String()
}

func (r *Result) heading(b *strings.Builder) {
	m := &r.Machine
	fmt.Fprintf(b, "%s, commit %s, %s, %s, %d cores, %s.\nLoad average before: %s. Turns of %v, %d of each case.\n",
		r.Date.Format("2006-01-02 15:04 UTC"), m.Commit, m.CPU, m.OS, m.Cores, m.Go, m.Load, r.Plan.Turn, r.Plan.Rounds)
}

const tableHead = `
| case | calls/s | p50 | p99 | CPU µs a call: client + service + broker | allocations: client + service | rate ratio | CPU ratio | others |
|---|---|---|---|---|---|---|---|---|
`

func (s *Series) table(b *strings.Builder) {
	fmt.Fprintf(b, "\n**%s**\n%s", s, tableHead)
	for _, name := range s.cases() {
		s.row(b, name)
	}
}

func (s *Series) row(b *strings.Builder, name string) {
	turns := s.turns(name)
	cpu := func(of func(*Turn) time.Duration) float64 {
		return medianOf(turns, func(t *Turn) float64 { return float64(of(t).Nanoseconds()) / 1e3 / float64(t.Calls) })
	}
	client := cpu(func(t *Turn) time.Duration { return t.Client })
	service := cpu(func(t *Turn) time.Duration { return t.Service })
	broker := cpu(func(t *Turn) time.Duration { return t.Broker })
	fmt.Fprintf(b, "| %s | %.0f | %s | %s | %.1f + %.1f + %.1f = %.1f | %.0f + %.0f | %s | %s | %.0f %% |\n", name+failures(turns),
		medianOf(turns, Rate), short(medianOf(turns, func(t *Turn) float64 { return float64(t.P50) })),
		short(medianOf(turns, func(t *Turn) float64 { return float64(t.P99) })),
		client, service, broker, client+service+broker,
		medianOf(turns, func(t *Turn) float64 { return float64(t.ClientMallocs) / float64(t.Calls) }),
		medianOf(turns, func(t *Turn) float64 { return float64(t.ServiceMallocs) / float64(t.Calls) }),
		s.ratio(name, Rate), s.ratio(name, PerCPU), 100*medianOf(turns, func(t *Turn) float64 { return t.Others }))
}

func (s *Series) ratio(name string, m Measure) string {
	if name == s.Base {
		return "1.00"
	}
	return s.Against(name, s.Base, m).String()
}

// failures is a note on operations that failed, empty when none did.
func failures(turns []*Turn) string {
	n, text := 0, ""
	for _, t := range turns {
		if n += t.Errors; t.Error != "" {
			text = t.Error
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d failed: %s)", n, strings.ReplaceAll(text, "|", "/"))
}

func medianOf(turns []*Turn, number func(*Turn) float64) float64 {
	var values []float64
	for _, t := range turns {
		if t.Calls > 0 {
			values = append(values, number(t))
		}
	}
	return median(values)
}

func short(ns float64) string {
	d := time.Duration(ns)
	switch {
	case d < 10*time.Microsecond:
		return fmt.Sprintf("%.1f µs", ns/1e3)
	case d < time.Millisecond:
		return fmt.Sprintf("%.0f µs", ns/1e3)
	}
	return fmt.Sprintf("%.1f ms", ns/1e6)
}

const goalsHead = `
**Goals**

| work | case | to | by | at least | measured | |
|---|---|---|---|---|---|---|
`

// goals tells which were reached.
func (r *Result) goals(b *strings.Builder) {
	head := goalsHead
	for _, s := range r.Series {
		for _, g := range s.Goals {
			ratio := s.Against(g.Case, g.Against, Measures[g.What])
			if ratio.Median == 0 {
				continue // not measured in this run
			}
			verdict := "reached"
			if ratio.Median < g.Least {
				verdict = "**missed**"
			}
			fmt.Fprintf(b, "%s| %s | %s | %s | %s | %.2f | %s | %s |\n", head, s, g.Case, g.Against, g.What, g.Least, ratio, verdict)
			head = ""
		}
	}
}
