package trail

// How often calls are sent again. Three services in a row that each tried three
// times would try 27 times; so the retries of a whole tree of calls are bounded,
// and travel with its context data. A call passes on what it does not keep for
// itself, and nothing at all once it is itself a retry.
const (
	CallRetries = 2 // of one call
	treeRetries = 4 // that a handler has for its calls, when nothing came with its request
)

// TakeRetry takes one of the retries that the handler in hand has for its
// calls. Work outside a handler has as many as its calls may have.
func (t *Trail) TakeRetry() bool {
	return t.retries == nil || t.retries.Add(-1) >= 0
}

// AsRetry returns the trail of a call that is a retry.
func (t *Trail) AsRetry() *Trail {
	next := *t
	next.retried = true
	return &next
}

// retriesToPass returns how many retries a call takes along for the calls that
// it leads to, and whether that is worth a word.
func (t *Trail) retriesToPass() (int64, bool) {
	switch {
	case t.retried:
		return 0, true
	case t.retries == nil:
		return 0, false
	}
	return max(0, t.retries.Load()-CallRetries), true
}

// granted returns the retries of a handler whose work came with t.
func (t *Trail) granted() int64 {
	if t.grant == 0 {
		return treeRetries
	}
	return t.grant - 1
}
