package harness

import (
	"fmt"
	"slices"
	"time"
)

// Ratio is the median, with the least and the greatest, of what pairs of turns
// say. Above 1 is better than the other.
type Ratio struct{ Median, Min, Max float64 }

func (r Ratio) String() string { return fmt.Sprintf("%.2f (%.2f–%.2f)", r.Median, r.Min, r.Max) }

func ratioOf(values []float64) Ratio {
	if len(values) == 0 {
		return Ratio{}
	}
	return Ratio{Median: median(values), Min: slices.Min(values), Max: slices.Max(values)}
}

func median[T float64 | time.Duration](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Measure is a number that is taken of a turn, more being better.
type Measure func(*Turn) float64

// Measures are all of them, by the names that goals use.
var Measures = map[string]Measure{"rate": Rate, "CPU": PerCPU, "own CPU": PerOwnCPU, "service CPU": PerServiceCPU, "p99": Swiftness}

// Rate is operations a second.
func Rate(t *Turn) float64 { return float64(t.Calls) / t.Elapsed.Seconds() }

// PerCPU is operations a second of CPU of client, service and broker.
func PerCPU(t *Turn) float64 { return float64(t.Calls) / (t.Client + t.Service + t.Broker).Seconds() }

// PerOwnCPU is operations a second of CPU of client and service.
func PerOwnCPU(t *Turn) float64 { return float64(t.Calls) / (t.Client + t.Service).Seconds() }

// PerServiceCPU is operations a second of CPU of the service.
func PerServiceCPU(t *Turn) float64 { return float64(t.Calls) / t.Service.Seconds() }

// Swiftness is how often the slowest call but one in a hundred fits into a
// second.
func Swiftness(t *Turn) float64 { return 1 / t.P99.Seconds() }

// Against compares a case with another one, in turns of the same set when the
// other is the base, else in turns of the same round.
func (s *Series) Against(name, other string, m Measure) Ratio {
	var values []float64
	for _, set := range s.Sets {
		t := set.of(name)
		if t == nil {
			continue
		}
		o := set.of(other)
		if o == nil {
			o = s.inRound(other, t.Round)
		}
		if o != nil && t.Calls > 0 && o.Calls > 0 {
			values = append(values, m(t)/m(o))
		}
	}
	return ratioOf(values)
}

func (s *Series) inRound(name string, round int) *Turn {
	for _, set := range s.Sets {
		if t := set.of(name); t != nil && t.Round == round {
			return t
		}
	}
	return nil
}

func (set Set) of(name string) *Turn {
	for _, t := range set {
		if t.Case == name {
			return t
		}
	}
	return nil
}

// turns returns those of one case.
func (s *Series) turns(name string) []*Turn {
	var out []*Turn
	for _, set := range s.Sets {
		if t := set.of(name); t != nil {
			out = append(out, t)
		}
	}
	return out
}

// cases returns the names of the cases, the base first, in the order of their
// first round.
func (s *Series) cases() []string {
	names := []string{s.Base}
	for _, set := range s.Sets {
		for _, t := range set {
			if !slices.Contains(names, t.Case) {
				names = append(names, t.Case)
			}
		}
	}
	return names
}
