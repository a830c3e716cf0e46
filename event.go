package enoki

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/enoki-go/enoki/internal/contract"
)

// Event names an event and the type of its payload. It belongs to one
// service, the only one that emits it. Declare it beside the contract of that
// service:
//
//	var Posted = enoki.NewEvent[Comment]("comments", "posted")
type Event[T any] struct {
	Source string // the service that emits it
	Name   string // its type: ASCII letters, digits, '_' and '-', a letter first
}

// NewEvent returns the event name of the service source, with payload T.
func NewEvent[T any](source, name string) Event[T] {
	return Event[T]{Source: source, Name: name}
}

// check finds what can't be meant.
func (ev Event[T]) check() error {
	mistakes := []error{contract.CheckName("service", ev.Source), contract.CheckName("event", ev.Name)}
	if err := contract.CheckJSON(reflect.TypeFor[T]()); err != nil {
		mistakes = append(mistakes, fmt.Errorf("payload %w", err))
	}
	return errors.Join(mistakes...)
}
