package host

import (
	"errors"
	"fmt"
	"strings"
)

// setting is one thing that can be set by a flag, a variable of the
// environment or a key of the file, all three made of its name.
type setting struct {
	name  string // as the flag and the key have it: drain-delay
	usage string // for --help; a word in backquotes names the value
	value value
	check func() error // of the value, however it was set; may be nil

	filled bool // an empty value is a mistake, in every place

	standard string // the default as --help shows it
	source   string // where its value came from; empty for the default
}

// envPrefix is what the variables of all settings begin with.
const envPrefix = "ENOKI_"

// env is the setting's variable: ENOKI_DRAIN_DELAY.
func (s *setting) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

func (s *setting) isBool() bool {
	_, ok := s.value.(boolValue)
	return ok
}

// placeholder is what --help shows for the value, and the usage without its
// backquotes.
func (s *setting) placeholder() (word, usage string) {
	if before, rest, ok := strings.Cut(s.usage, "`"); ok {
		if word, after, ok := strings.Cut(rest, "`"); ok {
			return word, before + word + after
		}
	}
	switch s.value.(type) {
	case boolValue:
		return "", s.usage
	case intValue:
		return "number", s.usage
	case durationValue:
		return "duration", s.usage
	case sizeValue:
		return "size", s.usage
	case anyValue:
		return "YAML", s.usage
	}
	return "text", s.usage
}

// parse sets the setting from text that stands in source.
func (s *setting) parse(source, text string) error {
	if text == "" && s.filled {
		return fmt.Errorf("%s: is empty; give a value, or leave it out", source)
	}
	if err := s.value.parse(text); err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	s.source = source
	return nil
}

// take sets the setting from the value of key in a file. A key without a value
// is what a variable without a value gives. It is a mistake, except where the
// default is empty, too: who wrote the key meant another than the default.
func (s *setting) take(key string, n node) error {
	switch {
	case n.value == nil && s.standard == "" && !s.filled:
		return nil
	case n.value == nil, n.value == "" && s.filled:
		return n.place.errorf("%s: %w", key, errNoValue)
	}
	if err := s.value.take(n); err != nil {
		return n.place.errorf("%s: %w", key, err)
	}
	s.source = n.place.String() + ": " + key
	return nil
}

var errNoValue = errors.New("has no value (a variable that is not set gives none); " +
	"leave the key out to take the default, or write ${NAME:default}")

// verify checks the value that the setting has in the end.
func (s *setting) verify() error {
	if s.check == nil {
		return nil
	}
	if err := s.check(); err != nil {
		source := s.source
		if source == "" {
			source = s.name
		}
		return fmt.Errorf("%s: %w", source, err)
	}
	return nil
}
