package harness

import (
	"io"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestHistogram holds every duration to a bucket that is 3 % wide.
func TestHistogram(t *testing.T) {
	t.Parallel()
	for n := uint64(1); n < 1<<50; n += n/7 + 1 {
		i := bucket(n)
		if low, high := floor(i), floor(i+1); n < low || n >= high {
			t.Fatalf("%d is in bucket %d, which is %d to %d", n, i, low, high)
		} else if high-low > max(1, low/32) {
			t.Fatalf("bucket %d is %d to %d, too wide", i, low, high)
		}
	}
	var h histogram
	for i := range 1000 {
		h.add(time.Duration(i) * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.50: 500 * time.Microsecond, 0.99: 990 * time.Microsecond} {
		if got := h.quantile(q); got < want*96/100 || got > want*104/100 {
			t.Errorf("quantile %v is %v, want about %v", q, got, want)
		}
	}
}

func turn(name string, round, calls int, cpu time.Duration) *Turn {
	return &Turn{Case: name, Round: round, Calls: calls, Elapsed: time.Second, Client: cpu, Service: cpu}
}

// TestAgainst compares with the turn of the base that lies beside, and with
// another case of the same round.
func TestAgainst(t *testing.T) {
	t.Parallel()
	s := &Series{Base: "raw", Sets: []Set{
		{turn("a", 0, 50, time.Second), turn("raw", 0, 100, time.Second)},
		{turn("raw", 0, 400, time.Second), turn("b", 0, 200, time.Second)},
		{turn("a", 1, 100, time.Second), turn("raw", 1, 100, time.Second)},
		{turn("raw", 1, 10, time.Second), turn("b", 1, 20, time.Second)},
	}}
	for _, c := range []struct {
		name, other string
		want        Ratio
	}{
		{"a", "raw", Ratio{0.75, 0.5, 1}},
		{"b", "raw", Ratio{1.25, 0.5, 2}},
		{"b", "a", Ratio{2.1, 0.2, 4}},
		{"b", "nobody", Ratio{}},
	} {
		if got := s.Against(c.name, c.other, Rate); got != c.want {
			t.Errorf("%s against %s is %v, want %v", c.name, c.other, got, c.want)
		}
	}
	if got := s.Against("a", "raw", PerOwnCPU); got.Median != 0.75 {
		t.Errorf("by CPU it is %v, want 0.75", got)
	}
}

// TestGuard lets a ratio fall by a quarter, and no further.
func TestGuard(t *testing.T) {
	t.Parallel()
	guard := Guard{"g/kept": 1, "g/fallen": 1, "g/gone": 1}
	measured := map[string]Ratio{"g/kept": {Median: 0.76}, "g/fallen": {Median: 0.74}}
	low := guard.below([]string{"g/fallen", "g/gone", "g/kept"}, measured, io.Discard)
	if len(low) != 2 || low[0] != "g/fallen" || low[1] != "g/gone" {
		t.Errorf("below: %v, want g/fallen and g/gone", low)
	}
}

// TestAddTo keeps of an earlier result what was not measured anew.
func TestAddTo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	series := func(group string, callers int) *Series { return &Series{Group: group, Base: "raw", Callers: callers} }
	earlier := &Result{Series: []*Series{series("a", 1), series("a", 2), series("b", 1)},
		Missing: []Missing{{Group: "a", Case: "x"}, {Group: "b", Case: "y"}}, Micro: []string{"line"}}
	if _, err := earlier.Save(dir, "r"); err != nil {
		t.Fatal(err)
	}
	r := &Result{Series: []*Series{series("a", 2)}, Missing: []Missing{{Group: "a", Case: "z"}}}
	r.addTo(filepath.Join(dir, "r.json"))
	var got []string
	for _, s := range r.Series {
		got = append(got, s.String())
	}
	want := []string{series("a", 1).String(), series("b", 1).String(), series("a", 2).String()}
	if !slices.Equal(got, want) {
		t.Errorf("series are %q, want %q", got, want)
	}
	if missing := []Missing{{Group: "b", Case: "y"}, {Group: "a", Case: "z"}}; !slices.Equal(r.Missing, missing) {
		t.Errorf("missing are %v, want %v", r.Missing, missing)
	}
	if len(r.Micro) != 1 {
		t.Error("the lines of the micro-benchmarks are gone")
	}
}
