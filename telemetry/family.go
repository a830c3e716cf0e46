package telemetry

import (
	"fmt"
	"io"
	"strings"

	"github.com/VictoriaMetrics/metrics"
)

// family are the time series of one name.
type family struct {
	name, help, kind string
	set              *metrics.Set
}

// The kinds of a family, in Prometheus' words.
const (
	counter   = "counter"
	gauge     = "gauge"
	histogram = "histogram"
)

func newFamily(kind, name, help string) *family {
	return &family{name: "enoki_" + name, help: help, kind: kind, set: metrics.NewSet()}
}

// label is one of those that tell the series of a family apart. Those of a
// series are given in the order of their keys.
type label struct{ key, value string }

// labelEscapes writes a value as Prometheus reads it.
var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// series returns the name of one time series.
func (f *family) series(labels []label) string {
	if len(labels) == 0 {
		return f.name
	}
	var b strings.Builder
	b.WriteString(f.name)
	for i, l := range labels {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(l.key + `="` + labelEscapes.Replace(strings.ToValidUTF8(l.value, "\uFFFD")) + `"`)
	}
	return b.String() + "}"
}

func (f *family) counter(labels ...label) *metrics.Counter {
	return f.set.GetOrCreateCounter(f.series(labels))
}

func (f *family) gauge(labels ...label) *metrics.Gauge {
	return f.set.GetOrCreateGauge(f.series(labels), nil)
}

func (f *family) histogram(bounds []float64, labels ...label) *metrics.PrometheusHistogram {
	return f.set.GetOrCreatePrometheusHistogramExt(f.series(labels), bounds)
}

// write writes nothing while there is no series.
func (f *family) write(w io.Writer) {
	if len(f.set.ListMetricNames()) == 0 {
		return
	}
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", f.name, f.help, f.name, f.kind)
	f.set.WritePrometheus(w)
}
