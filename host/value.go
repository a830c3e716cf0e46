package host

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// value is where a setting goes. It is written to by one goroutine, before
// anybody reads it.
type value interface {
	parse(text string) error // from a flag or the environment
	take(n node) error       // from a file
	String() string
}

type (
	textValue     struct{ p *string }
	wordsValue    struct{ textValue } // words with commas between
	intValue      struct{ p *int }
	boolValue     struct{ p *bool }
	durationValue struct{ p *time.Duration }
	sizeValue     struct{ p *int64 } // bytes
)

const (
	wantsText     = "text"
	wantsInt      = "a whole number"
	wantsBool     = "true or false"
	wantsDuration = `a duration such as "10s" or "1m30s"`
	wantsSize     = `a size such as "512MiB" or "2GiB", or a number of bytes`
)

func wants(what string, n node) error { return fmt.Errorf("want %s, have %s", what, n.kind()) }

func wantsNot(what, text string) error { return fmt.Errorf("want %s, have %q", what, text) }

func (v textValue) parse(text string) error { *v.p = text; return nil }
func (v textValue) String() string          { return *v.p }

// take accepts a number too, as it is written: a variable whose value happens
// to be one should not need quotes.
func (v textValue) take(n node) error {
	switch n.value.(type) {
	case string, int64, float64:
		*v.p = n.text
		return nil
	}
	return wants(wantsText, n)
}

// take accepts a list too.
func (v wordsValue) take(n node) error {
	list, ok := n.value.([]node)
	if !ok {
		return v.textValue.take(n)
	}
	words := make([]string, len(list))
	for i, item := range list {
		if err := (textValue{&words[i]}).take(item); err != nil {
			return err
		}
	}
	*v.p = strings.Join(words, ",")
	return nil
}

func (v intValue) String() string { return strconv.Itoa(*v.p) }

func (v intValue) parse(text string) error {
	i, err := strconv.Atoi(text)
	if err != nil {
		return wantsNot(wantsInt, text)
	}
	*v.p = i
	return nil
}

func (v intValue) take(n node) error {
	i, ok := n.value.(int64)
	if !ok {
		return wants(wantsInt, n)
	}
	*v.p = int(i)
	return nil
}

func (v boolValue) String() string { return strconv.FormatBool(*v.p) }

// parse knows the words of YAML 1.1 as well, which Nameko's files are in.
func (v boolValue) parse(text string) error {
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1":
		*v.p = true
	case "false", "no", "off", "0":
		*v.p = false
	default:
		return wantsNot(wantsBool, text)
	}
	return nil
}

func (v boolValue) take(n node) error {
	switch b := n.value.(type) {
	case bool:
		*v.p = b
		return nil
	case string:
		if v.parse(b) == nil {
			return nil
		}
	}
	return wants(wantsBool, n)
}

func (v durationValue) String() string { return trimZeros(v.p.String()) }

// trimZeros makes "1m0s" and "1h0m0s" what a person writes.
func trimZeros(d string) string {
	if strings.HasSuffix(d, "m0s") {
		d = strings.TrimSuffix(d, "0s")
	}
	if strings.HasSuffix(d, "h0m") {
		d = strings.TrimSuffix(d, "0m")
	}
	return d
}

// parse takes a number without a unit for seconds, as Nameko does.
func (v durationValue) parse(text string) error {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return v.set(seconds, text)
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return wantsNot(wantsDuration, text)
	}
	*v.p = d
	return nil
}

// maxSeconds is about a hundred years, well within a time.Duration.
const maxSeconds = 100 * 365 * 24 * 3600

func (v durationValue) set(seconds float64, text string) error {
	if !(seconds >= 0 && seconds <= maxSeconds) { // nor NaN
		return wantsNot(wantsDuration, text)
	}
	*v.p = time.Duration(seconds * float64(time.Second))
	return nil
}

func (v durationValue) take(n node) error {
	switch n.value.(type) {
	case string, int64, float64:
		if v.parse(n.text) == nil {
			return nil
		}
	}
	return wants(wantsDuration, n)
}

// units are those that sizes are written in, the largest first.
var units = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

func (v sizeValue) String() string {
	for _, u := range units {
		if *v.p != 0 && *v.p%u.bytes == 0 {
			return strconv.FormatInt(*v.p/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(*v.p, 10)
}

func (v sizeValue) parse(text string) error {
	number, unit := text, int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(text, u.name); ok {
			number, unit = strings.TrimSpace(n), u.bytes
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return wantsNot(wantsSize, text)
	}
	*v.p = n * unit
	return nil
}

func (v sizeValue) take(n node) error {
	switch n.value.(type) {
	case string, int64:
		if v.parse(n.text) == nil {
			return nil
		}
	}
	return wants(wantsSize, n)
}
