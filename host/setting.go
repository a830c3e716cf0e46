package host

import (
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

	standard string // the default as --help shows it
	source   string // where its value came from; empty for the default
}

// env is the setting's variable: ENOKI_DRAIN_DELAY.
func (s *setting) env() string {
	return "ENOKI_" + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
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
	}
	return "text", s.usage
}

// parse sets the setting from text that stands in source.
func (s *setting) parse(source, text string) error {
	if err := s.value.parse(text); err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	s.source = source
	return nil
}

// take sets the setting from the value of key in a file. A key without a
// value leaves it as it is: that is what a variable without a value gives.
func (s *setting) take(key string, n node) error {
	if n.value == nil {
		return nil
	}
	if err := s.value.take(n); err != nil {
		return n.place.errorf("%s: %w", key, err)
	}
	s.source = n.place.String() + ": " + key
	return nil
}

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
