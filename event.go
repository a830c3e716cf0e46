package enoki

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/enoki-go/enoki/internal/contract"
)

// Event names an event and the type of its payload. It belongs to one service,
// and only that service emits it. Declare it beside the contract of that
// service:
//
//	var Posted = enoki.NewEvent[Comment]("comments", "posted")
type Event[T any] struct {
	Source string // the service that emits it
	Name   string // its type: ASCII letters, digits, '_', '-' and single dots; begins with a letter or '_'
}

// NewEvent returns an event of the service source. T is the type of its
// payload.
func NewEvent[T any](source, name string) Event[T] {
	return Event[T]{Source: source, Name: name}
}

// check returns all mistakes in the declaration.
func (ev Event[T]) check() error {
	mistakes := []error{contract.CheckName("service", ev.Source), contract.CheckName("event", ev.Name)}
	if err := contract.CheckJSON(reflect.TypeFor[T]()); err != nil {
		mistakes = append(mistakes, fmt.Errorf("payload %w", err))
	}
	return errors.Join(mistakes...)
}
