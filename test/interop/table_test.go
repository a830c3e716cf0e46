package interop_test

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
)

// verdict is what a cell of the table says.
type verdict string

const (
	pass      verdict = "pass"
	better    verdict = "better" // passes a test of what Enoki does better than Nameko
	differs   verdict = "DIFFERS"
	notYet    verdict = "not yet"
	notFitted verdict = "n/a"
	notRun    verdict = "-" // left out by -run
)

// cell is what became of one behaviour in one pairing.
type cell struct {
	id      string
	pairing string
	verdict verdict
	reason  string // of everything but pass
}

// table is the outcome of a run.
type table struct {
	behaviours []*behaviour
	pairings   []string

	mu    sync.Mutex
	cells map[string]cell // by id and pairing
}

func newTable(behaviours []*behaviour, pairings []*pairing) *table {
	t := &table{behaviours: behaviours, cells: map[string]cell{}}
	for _, p := range pairings {
		t.pairings = append(t.pairings, p.String())
	}
	return t
}

func (t *table) put(c cell) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cells[c.id+c.pairing] = c
}

// at returns the cell, notRun when it was left out.
func (t *table) at(id, pairing string) cell {
	if c, ok := t.cells[id+pairing]; ok {
		return c
	}
	return cell{id: id, pairing: pairing, verdict: notRun}
}

// write prints a line for each behaviour, a column for each pairing, the sums
// and then the reason of each cell that is not a plain pass.
func (t *table) write(w io.Writer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(lines, "id\t"+strings.Join(t.pairings, "\t")+"\tbehaviour")
	sums, tried := map[verdict]int{}, 0
	reasons := map[string][]string{}
	for _, b := range t.behaviours {
		if !t.tried(b) {
			continue
		}
		tried++
		fmt.Fprint(lines, b.id)
		for _, p := range t.pairings {
			c := t.at(b.id, p)
			sums[c.verdict]++
			fmt.Fprint(lines, "\t", c.verdict)
			if c.reason != "" {
				why := fmt.Sprintf("%s  %s: %s", b.id, c.verdict, c.reason)
				reasons[why] = append(reasons[why], p)
			}
		}
		fmt.Fprintln(lines, "\t"+b.title)
	}
	if err := lines.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, why := range sortedKeys(reasons) {
		fmt.Fprintf(w, "%s [%s]\n", why, strings.Join(reasons[why], ", "))
	}
	_, err := fmt.Fprintf(w, "\n%d behaviours, service < client: %s\n", tried, summary(sums))
	return err
}

// tried tells whether -run has left anything of a behaviour.
func (t *table) tried(b *behaviour) bool {
	return slices.ContainsFunc(t.pairings, func(p string) bool { return t.at(b.id, p).verdict != notRun })
}

func summary(sums map[verdict]int) string {
	order := []verdict{pass, better, differs, notYet, notFitted, notRun}
	var parts []string
	for _, v := range order {
		if sums[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", sums[v], v))
		}
	}
	return strings.Join(parts, ", ")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, cmp.Compare)
	return keys
}
