// Package chart draws curves as SVG pictures that can be read on a light and
// on a dark page. Both axes are logarithmic.
package chart

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// Chart is a picture of curves.
type Chart struct {
	Title string
	X, Y  string // what the axes count, with the unit
	Lines []Line
}

// Line is one curve, named in the legend.
type Line struct {
	Name   string
	Points []Point
}

// Point is a place on a curve. Points of zero or less are not drawn: a
// logarithmic axis has no place for them.
type Point struct{ X, Y float64 }

// The picture, in pixels at its natural size.
const (
	width, height           = 720, 400
	left, right             = 84, 24
	top, bottom             = 74, 56
	plotWidth, plotHeight   = width - left - right, height - top - bottom
	legendY, legendX, entry = 50, left, 128
)

// style follows the reader's theme, as GitHub's pages do.
const style = `
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.grid { stroke: #d1d9e0 } .frame { stroke: #818b98; fill: none }
.line { fill: none; stroke-width: 2 }
.c0 { stroke: #0969da } .c1 { stroke: #bc4c00 } .c2 { stroke: #1a7f37 } .c3 { stroke: #8250df } .c4 { stroke: #6e7781 }
.dot { fill: #ffffff; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .grid { stroke: #3d444d } .frame { stroke: #9198a1 }
.c0 { stroke: #58a6ff } .c1 { stroke: #ffa657 } .c2 { stroke: #3fb950 } .c3 { stroke: #bc8cff } .c4 { stroke: #9198a1 }
.dot { fill: #0d1117 }
}
`

const colours = 5

// SVG returns the picture.
func (c *Chart) SVG() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">`, width, height, html.EscapeString(c.Title))
	fmt.Fprintf(&b, "\n<style>%s</style>\n", style)
	text(&b, left, 24, "start", "title", c.Title)
	x, y := c.axes()
	c.grid(&b, x, y)
	for i := range c.Lines {
		c.Lines[i].draw(&b, i, x, y)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// axes cover all points.
func (c *Chart) axes() (x, y axis) {
	x = axis{pixel: left, length: plotWidth}
	y = axis{pixel: height - bottom, length: -plotHeight}
	for _, l := range c.Lines {
		for _, p := range l.drawn() {
			x.cover(p.X)
			y.cover(p.Y)
		}
	}
	y.widen()
	return x, y
}

func (c *Chart) grid(b *strings.Builder, x, y axis) {
	for _, v := range x.ticks() {
		at := x.at(v)
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`+"\n", at, top, at, height-bottom)
		text(b, at, height-bottom+20, "middle", "", Number(v))
	}
	for _, v := range y.ticks() {
		at := y.at(v)
		fmt.Fprintf(b, `<line class="grid" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`+"\n", left, at, width-right, at)
		text(b, left-8, at+4, "end", "", Number(v))
	}
	fmt.Fprintf(b, `<rect class="frame" x="%d" y="%d" width="%d" height="%d"/>`+"\n", left, top, plotWidth, plotHeight)
	text(b, left+plotWidth/2, height-14, "middle", "", c.X)
	fmt.Fprintf(b, `<text transform="translate(18 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n", top+plotHeight/2, html.EscapeString(c.Y))
}

func (l *Line) draw(b *strings.Builder, i int, x, y axis) {
	colour := "c" + strconv.Itoa(i%colours)
	var path, dots strings.Builder
	for _, p := range l.drawn() {
		px, py := x.at(p.X), y.at(p.Y)
		fmt.Fprintf(&path, "%.1f,%.1f ", px, py)
		fmt.Fprintf(&dots, `<circle class="dot %s" cx="%.1f" cy="%.1f" r="3.5"><title>%s: %s, %s</title></circle>`+"\n",
			colour, px, py, html.EscapeString(l.Name), Number(p.X), Number(p.Y))
	}
	fmt.Fprintf(b, `<polyline class="line %s" points="%s"/>`+"\n%s", colour, strings.TrimSpace(path.String()), dots.String())
	fmt.Fprintf(b, `<line class="line %s" x1="%d" y1="%d" x2="%d" y2="%d"/>`+"\n", colour, legendX+i*entry, legendY, legendX+i*entry+20, legendY)
	text(b, float64(legendX+i*entry+26), legendY+4, "start", "", l.Name)
}

func (l *Line) drawn() []Point {
	var out []Point
	for _, p := range l.Points {
		if p.X > 0 && p.Y > 0 {
			out = append(out, p)
		}
	}
	return out
}

func text(b *strings.Builder, x, y float64, anchor, class, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" class="%s">%s</text>`+"\n", x, y, anchor, class, html.EscapeString(s))
}

// axis is a logarithmic scale.
type axis struct {
	least, most   float64 // 0 when it covers nothing yet
	pixel, length float64 // where it begins, and how far it goes
}

func (a *axis) cover(v float64) {
	if a.most == 0 {
		a.least, a.most = v, v
	}
	a.least, a.most = min(a.least, v), max(a.most, v)
}

// widen makes the axis span a factor of ten at least, so that noise does not
// fill the picture, and ends it at round numbers.
func (a *axis) widen() {
	if a.most == 0 {
		a.least, a.most = 1, 10
	}
	if a.most < 10*a.least {
		centre := math.Sqrt(a.least * a.most)
		a.least, a.most = min(a.least, centre/math.Sqrt(10)), max(a.most, centre*math.Sqrt(10))
	}
	a.least, a.most = roundDown(a.least), roundUp(a.most)
}

func (a *axis) at(v float64) float64 {
	if a.most <= a.least {
		return a.pixel + a.length/2
	}
	return a.pixel + a.length*math.Log(v/a.least)/math.Log(a.most/a.least)
}

// steps are the round numbers of a decade.
var steps = []float64{1, 2, 5}

// mostTicks is how many labels an axis has room for.
const mostTicks = 9

// ticks are round numbers on the axis: all of them, or only powers of ten where
// those would be too many.
func (a *axis) ticks() []float64 {
	if all := a.round(steps); len(all) <= mostTicks {
		return all
	}
	return a.round(steps[:1])
}

func (a *axis) round(steps []float64) []float64 {
	const slack = 1 + 1e-9 // powers of ten are not exact
	var out []float64
	for decade := math.Pow(10, math.Floor(math.Log10(a.least))); decade <= a.most*slack; decade *= 10 {
		for _, step := range steps {
			if v := step * decade; v*slack >= a.least && v <= a.most*slack {
				out = append(out, v)
			}
		}
	}
	return out
}

func roundDown(v float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	best := decade
	for _, step := range steps {
		if step*decade <= v {
			best = step * decade
		}
	}
	return best
}

func roundUp(v float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range steps {
		if step*decade >= v {
			return step * decade
		}
	}
	return 10 * decade
}

// Number writes a number with three digits at most, and k and M for thousands
// and millions.
func Number(v float64) string {
	unit := ""
	switch {
	case v >= 999_500:
		v, unit = v/1e6, " M"
	case v >= 999.5:
		v, unit = v/1e3, " k"
	}
	return strconv.FormatFloat(v, 'g', digits(v), 64) + unit
}

// digits keeps %g from writing exponents.
func digits(v float64) int {
	if v >= 100 {
		return 3
	}
	return 2
}
