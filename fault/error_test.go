package fault

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

func TestErrorArgumentsCrossAsText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ arg, want any }{
		{"text", "text"},
		{[]byte("bytes"), "bytes"},
		{42, "42"},
		{1.5, "1.5"},
		{nil, "None"},
		{true, "True"},
		{false, "False"},
		{time.Second, "1s"},
		{errors.New("cause"), "cause"},
		{[]any{"a", 1, nil}, []any{"a", "1", "None"}},
		{[2]int{1, 2}, []any{"1", "2"}},
		{map[int]any{1: []bool{true}}, map[string]any{"1": []any{"True"}}},
	} {
		got := Crossed(&Error{Args: []any{test.arg}}).Args
		if !reflect.DeepEqual(got, []any{test.want}) {
			t.Errorf("%#v crossed as %#v, want %#v", test.arg, got, test.want)
		}
	}
}

// silentError has no text.
type silentError struct{}

func (silentError) Error() string { panic("no text") }

func TestErrorWithoutTextCrosses(t *testing.T) {
	t.Parallel()
	got := onWire(silentError{}).Message
	if want := "[the text of a fault.silentError failed: no text]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
