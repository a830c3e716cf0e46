package telemetry

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
)

// Reading is a gauge that is read only on request.
type Reading struct {
	Name   string // without the prefix enoki_
	Help   string
	Labels map[string]string
	Value  float64
}

// maxReadings is how many readings one page shows. Their labels may come from
// outside.
const maxReadings = 2000

// String returns the reading as Prometheus writes it.
func (r Reading) String() string {
	labels := make([]label, 0, len(r.Labels))
	for _, key := range slices.Sorted(maps.Keys(r.Labels)) {
		labels = append(labels, label{key, r.Labels[key]})
	}
	f := family{name: "enoki_" + r.Name}
	return f.series(labels) + " " + strconv.FormatFloat(r.Value, 'f', -1, 64)
}

// Watch adds the readings that read returns at every scrape. Call it at most
// once, before the metrics are served. read should return soon.
func (m *Metrics) Watch(read func() []Reading) { m.read = read }

// SortReadings sorts by name, then by labels.
func SortReadings(all []Reading) {
	slices.SortFunc(all, func(a, b Reading) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.String(), b.String()))
	})
}

// writeReadings writes each name once, with its help. It leaves out a repeated
// series, because one would make the whole page invalid.
func writeReadings(w io.Writer, all []Reading) {
	all = slices.Clone(all)
	SortReadings(all)
	var page bytes.Buffer
	last, seen := "", make(map[string]bool)
	for _, r := range all[:min(len(all), maxReadings)] {
		if r.Name != last {
			fmt.Fprintf(&page, "# HELP enoki_%s %s\n# TYPE enoki_%s %s\n", r.Name, r.Help, r.Name, gauge)
			last = r.Name
		}
		same := Reading{Name: r.Name, Labels: r.Labels}.String()
		if !seen[same] {
			seen[same] = true
			page.WriteString(r.String() + "\n")
		}
	}
	_, _ = w.Write(page.Bytes()) // to a buffer, or to a client that may have gone
}
