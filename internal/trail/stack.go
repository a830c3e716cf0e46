package trail

import (
	"fmt"
	"slices"
	"sync"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/uuid"
)

// stack is the call ids that led to a handler, oldest first. That of the
// handler itself is made when somebody first asks: most never do.
type stack struct {
	service, method string // of the handler; empty when ids came from elsewhere
	tracked         int    // how many ids of callers stay

	once  sync.Once
	above *stack // of the caller
	ids   []any  // texts, in the form in which they travel
}

func (s *stack) list() []any {
	if s == nil {
		return nil
	}
	s.once.Do(s.complete)
	return s.ids
}

func (s *stack) complete() {
	if s.service == "" {
		return
	}
	callers := s.above.list()
	callers = callers[max(0, len(callers)-s.tracked):]
	s.ids = append(slices.Clip(slices.Clone(callers)), newCallID(s.service, s.method))
	s.above = nil
}

func newCallID(service, method string) string {
	var room [128]byte // enough for most, and not on the heap
	id := append(append(room[:0], service...), '.')
	id = append(append(id, method...), '.')
	return string(uuid.Append(id))
}

// stackFrom reads a call stack. An old Node client of Nameko sends it as one
// text instead of a list.
func stackFrom(value any) []any {
	switch v := value.(type) {
	case string:
		return []any{v}
	case []any:
		if !slices.ContainsFunc(v, isNoText) {
			return v
		}
		return slices.DeleteFunc(slices.Clone(v), isNoText)
	}
	return nil
}

func isNoText(v any) bool {
	_, ok := v.(string)
	return !ok
}

// CallStack returns the ids in the call stack of a message, oldest first.
func CallStack(m *broker.Message) []string {
	var ids []string
	for _, id := range stackFrom(m.Context[stackKey]) {
		ids = append(ids, fmt.Sprint(id))
	}
	return ids
}
