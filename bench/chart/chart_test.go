package chart

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

func TestSVG(t *testing.T) {
	c := Chart{Title: "Calls & more", X: "callers", Y: "calls/s", Lines: []Line{
		{Name: "nats", Points: []Point{{1, 3000}, {16, 30000}, {128, 41000}}},
		{Name: "amqp", Points: []Point{{1, 800}, {16, 0}, {128, 5000}}},
	}}
	svg := c.SVG()
	circles := 0
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "circle" {
			circles++
		}
	}
	if circles != 5 {
		t.Errorf("%d points are drawn, want 5: all but the one that is zero", circles)
	}
	for _, want := range []string{"Calls &amp; more", ">nats<", ">callers<", ">calls/s<", "prefers-color-scheme: dark", ">10 k<"} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestAxis(t *testing.T) {
	a := axis{pixel: 0, length: 100}
	for _, v := range []float64{3, 700} {
		a.cover(v)
	}
	a.widen()
	if a.least != 2 || a.most != 1000 {
		t.Errorf("from %v to %v, want 2 to 1000", a.least, a.most)
	}
	if first, last := a.at(2), a.at(1000); first != 0 || math.Abs(last-100) > 1e-9 {
		t.Errorf("ends at %v and %v, want 0 and 100", first, last)
	}
	if got := a.ticks(); len(got) < 3 || len(got) > mostTicks {
		t.Errorf("ticks %v", got)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0.5: "0.5", 7: "7", 42: "42", 128: "128", 1000: "1 k", 12345: "12 k", 131072: "131 k", 1e6: "1 M"} {
		if got := Number(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}
