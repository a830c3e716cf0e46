package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// difference is a place at which two answers are not the same.
type difference struct {
	path         field // from the whole answer, which has the empty one
	kind         field // path with * for the items of lists
	live, shadow any   // absent where one has nothing there
}

// absent is in the place of a value that is not there, which null is.
type absent struct{}

// comparison finds the differences of two answers.
type comparison struct {
	ignore []field
	found  []difference
}

// compareAnswers returns what differs, without what is ignored.
func compareAnswers(live, shadow answer, ignore []field) []difference {
	c := &comparison{ignore: ignore}
	switch {
	case live.isReply && shadow.isReply && live.fails() != shadow.fails():
		c.oneFails(live, shadow)
	case live.isReply && shadow.isReply:
		c.values(field{"error"}, field{"error"}, live.failure, shadow.failure)
		if live.failure == nil && shadow.failure == nil {
			c.values(field{"result"}, field{"result"}, live.result, shadow.result)
		}
	default:
		c.values(nil, nil, live.whole(), shadow.whole())
	}
	return c.found
}

// oneFails notes that one side has failed and the other has not: a kind of its
// own for each side and class of error. What is ignored of errors does not
// count here, since it says where two errors differ.
func (c *comparison) oneFails(live, shadow answer) {
	d := difference{live: absent{}, shadow: absent{}}
	if live.fails() {
		d.kind, d.live = field{"failure", "live", live.class()}, live.failure
	} else {
		d.kind, d.shadow = field{"failure", "shadow", shadow.class()}, shadow.failure
	}
	d.path = d.kind
	if !slices.ContainsFunc(c.ignore, func(f field) bool { return f.covers(d.kind) }) {
		c.found = append(c.found, d)
	}
}

// values compares two values at a path. They are of the types that
// encoding/json makes with UseNumber.
func (c *comparison) values(path, kind field, live, shadow any) {
	if slices.ContainsFunc(c.ignore, func(f field) bool { return f.covers(path) }) {
		return
	}
	switch l := live.(type) {
	case map[string]any:
		if s, ok := shadow.(map[string]any); ok {
			c.objects(path, kind, l, s)
			return
		}
	case []any:
		// When the lengths differ, which item is missing can't be known.
		if s, ok := shadow.([]any); ok && len(l) == len(s) {
			for i := range l {
				c.values(path.below(strconv.Itoa(i)), kind.below("*"), l[i], s[i])
			}
			return
		}
	case json.Number:
		if s, ok := shadow.(json.Number); ok && sameNumber(l, s) {
			return
		}
	default: // nil, bool, string, opaque and absent, which == compares
		if live == shadow {
			return
		}
	}
	c.found = append(c.found, difference{path, kind, live, shadow})
}

func (c *comparison) objects(path, kind field, live, shadow map[string]any) {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(live)), maps.Keys(shadow))
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		c.values(path.below(key), kind.below(key), valueAt(live, key), valueAt(shadow, key))
	}
}

func valueAt(object map[string]any, key string) any {
	if v, ok := object[key]; ok {
		return v
	}
	return absent{}
}

// sameNumber compares by value, in any precision: 1, 1.0 and 10e-1 are one.
func sameNumber(a, b json.Number) bool {
	x, okX := decimalOf(a)
	y, okY := decimalOf(b)
	if !okX || !okY {
		return a == b
	}
	return x == y
}

// decimal is a number as 0.digits times ten to the exponent; its digits begin
// and end with another one than 0. Zero has none.
type decimal struct {
	negative bool
	digits   string
	exponent int64
}

// decimalOf returns false for a number whose exponent is beyond all use.
func decimalOf(n json.Number) (decimal, bool) {
	var d decimal
	mantissa, exponent, hasExponent := strings.Cut(strings.ToLower(string(n)), "e")
	if hasExponent {
		var err error
		if d.exponent, err = strconv.ParseInt(exponent, 10, 32); err != nil {
			return d, false
		}
	}
	mantissa, d.negative = strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	significant := strings.TrimLeft(whole+fraction, "0")
	d.exponent += int64(len(significant) - len(fraction))
	d.digits = strings.TrimRight(significant, "0")
	if d.digits == "" {
		return decimal{}, true
	}
	return d, true
}
