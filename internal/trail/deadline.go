package trail

import (
	"math"
	"time"
)

// mark is a deadline by the wall clock, in milliseconds, with some bits that tell
// which call has set it: one number, as each call carries it.
func mark(end time.Time, id any) int64 {
	text, _ := id.(string)
	return end.UnixMilli()<<markBits | int64(hash(text))&(1<<markBits-1)
}

// markBits leave 42 bits for milliseconds, enough until 2109.
const markBits = 21

// hash is FNV-1a.
func hash(text string) uint32 {
	h := uint32(2166136261)
	for i := range len(text) {
		h = (h ^ uint32(text[i])) * 16777619
	}
	return h
}

// leftOf returns how much of the time that was left to a sender is left now.
// When the last call of the stack is the one that set the deadline, that is all.
// Another one means that a service lies between that has handed the time on as
// it was, so the wall clock tells what is left. It can only shorten the time,
// and not to nothing: a clock that is wrong must not end a call.
func leftOf(left time.Duration, deadline int64, stack []any) time.Duration {
	if deadline <= 0 || left == 0 || len(stack) == 0 {
		return left
	}
	end := time.UnixMilli(deadline >> markBits)
	if mark(end, stack[len(stack)-1]) == deadline {
		return left
	}
	if until := time.Until(end); until > 0 {
		return min(left, until)
	}
	return left
}

// milliseconds reads a positive duration; anything else is none at all, since
// a header that a stranger set must not stop a call.
func milliseconds(value any) time.Duration {
	var ms float64
	switch v := value.(type) {
	case int64:
		ms = float64(v)
	case float64:
		ms = v
	}
	if !(ms > 0) || ms > math.MaxInt64/float64(time.Millisecond) {
		return 0
	}
	return time.Duration(ms * float64(time.Millisecond))
}
