package enokitest

import (
	"context"
	"reflect"
	"slices"
	"sync"

	"github.com/enoki-go/enoki"
)

// Mock is a service in place of one that others need. It may be used
// concurrently.
type Mock struct {
	service *enoki.Service

	mu    sync.Mutex // guards calls
	calls []MockCall
}

// MockCall is a call that a mock has replied to.
type MockCall struct {
	Method  string
	Args    []any // without the context
	Results []any // without the error
	Err     error
}

// NewMock returns a service that replies with the functions of contract, which
// is a contract struct. Functions that are not set reply with an error that
// says so.
func NewMock(service string, contract any) *Mock {
	m := &Mock{}
	m.service = enoki.NewService(service, enoki.RPC(complete(service, contract)), enoki.Use(m.record))
	return m
}

// complete returns contract with all its functions set. It leaves a value that
// is no contract to enoki.RPC, which refuses it.
func complete(service string, contract any) any {
	given := reflect.Indirect(reflect.ValueOf(contract))
	if given.Kind() != reflect.Struct {
		return contract
	}
	full := reflect.New(given.Type()).Elem()
	full.Set(given)
	for i := range full.NumField() {
		field, name := full.Field(i), full.Type().Field(i).Name
		if field.Kind() == reflect.Func && field.CanSet() && field.IsNil() && returnsError(field.Type()) {
			field.Set(reflect.MakeFunc(field.Type(), notMocked(field.Type(), service, name)))
		}
	}
	return full.Interface()
}

func returnsError(fn reflect.Type) bool {
	return fn.NumOut() > 0 && fn.Out(fn.NumOut()-1) == reflect.TypeFor[error]()
}

func notMocked(fn reflect.Type, service, name string) func([]reflect.Value) []reflect.Value {
	return func([]reflect.Value) []reflect.Value {
		var out []reflect.Value
		for i := range fn.NumOut() {
			out = append(out, reflect.New(fn.Out(i)).Elem())
		}
		err := enoki.Errorf(enoki.Internal, "the mock of %s has no %s; set it in the contract that is given to NewMock", service, name)
		out[len(out)-1].Set(reflect.ValueOf(err))
		return out
	}
}

// record is the middleware that records the calls.
func (m *Mock) record(next enoki.Handler) enoki.Handler {
	return func(ctx context.Context, c *enoki.Call) error {
		err := next(ctx, c)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.calls = append(m.calls, MockCall{Method: c.Method, Args: c.Args(), Results: c.Results(), Err: err})
		return err
	}
}

// Service returns the mock as a service. Run it beside the services that need
// it.
func (m *Mock) Service() *enoki.Service { return m.service }

// Calls returns the calls that the mock has replied to, in the order of the
// replies.
func (m *Mock) Calls() []MockCall {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}
