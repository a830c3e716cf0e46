package enoki

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/contract"
	"github.com/enoki-go/enoki/internal/testonly"
)

// Service is a name and its declaration: what the service serves, needs and
// emits. Run runs it. A Service holds no state of a run.
type Service struct {
	name          string
	methods       []*served
	named         map[string]bool // names of methods; a service may have thousands
	subscriptions []*subscription
	timers        []*timer
	extensions    []entrypoint.Extension
	emits         []broker.Event
	fills         []func(*Client) error // they fill what the service needs, at start
	resources     []resource
	middleware    []Middleware
	errors        []fault.Type
	mistakes      []error
}

// Part is a part of a service's declaration, such as RPC, On or Needs.
type Part interface {
	// declare adds the part to the service under construction.
	declare(*Service) error
}

type partFunc func(*Service) error

func (f partFunc) declare(s *Service) error { return f(s) }

// Parts combines several parts into one, in their order.
func Parts(parts ...Part) Part {
	return partFunc(func(s *Service) error {
		var mistakes []error
		for n, part := range parts {
			mistakes = append(mistakes, s.add(part, n, len(parts)))
		}
		return errors.Join(mistakes...)
	})
}

// add adds part number n of all parts.
func (s *Service) add(part Part, n, of int) error {
	if isNil(part) {
		return fmt.Errorf("part %d of %d is nil; give one, or leave it out", n+1, of)
	}
	return declared(func() error { return part.declare(s) })
}

// NewService declares a service. The name has ASCII letters, digits, '_', '-'
// and single dots; it begins with a letter or '_'. NewService does not fail:
// Check returns the mistakes of the declaration, and so does Run before
// anything starts.
func NewService(name string, parts ...Part) *Service {
	s := &Service{name: name, named: map[string]bool{}}
	if err := contract.CheckName("service", name); err != nil {
		s.mistakes = append(s.mistakes, err)
	}
	for n, part := range parts {
		if err := s.add(part, n, len(parts)); err != nil {
			s.mistakes = append(s.mistakes, err)
		}
	}
	return s
}

// Name returns the name of the service.
func (s *Service) Name() string { return s.name }

// Check returns all mistakes of the declaration, or nil. Each error names the
// thing, what is wrong with it and what to do.
func (s *Service) Check() error {
	if len(s.mistakes) == 0 {
		return nil
	}
	return fmt.Errorf("service %q cannot start: %w", s.name, errors.Join(s.mistakes...))
}

// Only is for Only of package enokitest. No other package can call it.
func (s *Service) Only(entrypoints testonly.Entrypoints) *Service {
	names, known := entrypoints.Names(), map[string]bool{}
	picked := func(name string) bool {
		known[name] = true
		return slices.Contains(names, name)
	}
	out := *s
	out.methods = slices.DeleteFunc(slices.Clone(s.methods), func(m *served) bool { return !picked(m.Name) })
	out.subscriptions = slices.DeleteFunc(slices.Clone(s.subscriptions), func(sub *subscription) bool { return !picked(sub.handler) })
	out.timers = slices.DeleteFunc(slices.Clone(s.timers), func(t *timer) bool { return !picked(t.name) })
	out.extensions = slices.DeleteFunc(slices.Clone(s.extensions), func(x entrypoint.Extension) bool {
		_, used := x.(entrypoint.Preparer) // handlers use it, so it stays
		return !used
	})
	out.mistakes = slices.Clone(s.mistakes)
	for _, name := range names {
		if !known[name] {
			out.mistakes = append(out.mistakes, fmt.Errorf("it has no entrypoint %q to be left with; it has %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", ")))
		}
	}
	return &out
}

// served is an RPC method and the function that serves it.
type served struct {
	*contract.Method
	handle Handler
}

// RPC declares the methods of a contract. A contract is a struct, or a pointer
// to one, whose fields are functions. Every field must be set, except the
// functions that return replies, see [Reply]. A field's method has the name in
// its rpc tag, or else the field's own name in snake case. The args tag names
// the arguments in order:
//
//   - "?" after a name makes the argument optional.
//   - "*" before a name collects further arguments by position; the argument is a
//     slice.
//   - "**" before a name collects further arguments by name; the argument is a map.
//   - After a "*" alone, arguments are given by name only.
func RPC(functions any) Part {
	return partFunc(func(s *Service) error {
		v := reflect.ValueOf(functions)
		if v.Kind() == reflect.Pointer && !v.IsNil() {
			v = v.Elem()
		}
		if !v.IsValid() {
			return fmt.Errorf("contract is nil; give RPC a struct whose fields are functions")
		}
		fields, err := contract.Fields(v.Type())
		if err != nil {
			return err
		}
		var mistakes []error
		for _, f := range fields {
			if f.Reply != nil { // only callers use it
				continue
			}
			fn := v.Field(f.Index)
			if fn.IsNil() {
				mistakes = append(mistakes, fmt.Errorf("contract field %s.%s is nil; set it to the function that serves %s", v.Type(), v.Type().Field(f.Index).Name, f.Name))
				continue
			}
			mistakes = append(mistakes, s.serve(f.Method, fn))
		}
		return errors.Join(mistakes...)
	})
}

// Method declares one method without a contract type. fn takes a context and
// the named arguments. It returns results and an error. Instead of results it
// may return a stream of them, an [iter.Seq2] of a type and error.
func Method(name string, fn any, args ...string) Part {
	return partFunc(func(s *Service) error {
		m, v, err := contract.Of(name, fn, args...)
		if err != nil {
			return err
		}
		if m.Reply != nil {
			return fmt.Errorf("method %q returns replies, which only callers get; return a single value", name)
		}
		return s.serve(m, v)
	})
}

func (s *Service) serve(m *contract.Method, fn reflect.Value) error {
	if s.named[m.Name] {
		return fmt.Errorf("method %q is declared twice; serve it once", m.Name)
	}
	s.named[m.Name] = true
	s.methods = append(s.methods, &served{Method: m, handle: invoke(fn)})
	return nil
}

// Needs declares that the service calls another one. functions points to a
// contract struct whose functions are filled at start. If both services run in
// one process, the call is direct: it runs in the caller's goroutine, without
// the broker, and returns when the handler returns. It has the same deadline,
// middleware and call stack, but arguments and results are shared and not
// copied.
func Needs(service string, functions any) Part {
	return partFunc(func(s *Service) error {
		if err := checkBinding(service, functions); err != nil {
			return fmt.Errorf("needs %q: %w", service, err)
		}
		s.fills = append(s.fills, func(c *Client) error { return c.Bind(service, functions) })
		return nil
	})
}

// Use wraps every handler of the service in middleware; the first one is
// outermost.
func Use(middleware ...Middleware) Part {
	return partFunc(func(s *Service) error {
		s.middleware = append(s.middleware, middleware...)
		return checkMiddleware("Use", middleware)
	})
}

// Extend declares an entrypoint of another package, such as package web.
func Extend(x entrypoint.Extension) Part {
	return partFunc(func(s *Service) error {
		if isNil(x) {
			return errors.New("extension is nil; give Extend one")
		}
		s.extensions = append(s.extensions, x)
		return x.Check()
	})
}

// Describe returns one Description for each entrypoint of the service.
func (s *Service) Describe() []entrypoint.Description {
	var all []entrypoint.Description
	about := s.instance()
	for _, m := range about.Methods {
		all = append(all, entrypoint.Description{Kind: entrypoint.RPC, Name: m.Name, Method: &m,
			Text: "rpc " + m.Name + "(" + strings.Join(m.Args, ", ") + ")"})
	}
	for i, sub := range s.subscriptions {
		all = append(all, entrypoint.Description{Kind: entrypoint.Event, Name: sub.handler, Event: &about.Handles[i],
			Text: "event " + sub.source + "." + sub.event})
	}
	for _, t := range s.timers {
		d := entrypoint.Description{Kind: entrypoint.Timer, Name: t.name, Schedule: "every " + t.interval.String()}
		d.Text = "timer " + t.name + " " + d.Schedule
		if t.schedule != nil {
			d.Schedule = t.schedule.String()
			d.Text = "cron " + t.name + " at " + d.Schedule
		}
		all = append(all, d)
	}
	for _, x := range s.extensions {
		if err := declared(func() error { all = append(all, x.Describe()...); return nil }); err != nil {
			all = append(all, entrypoint.Description{Text: fmt.Sprintf("%T, which can't describe itself: %v", x, err)})
		}
	}
	return all
}

// instance describes the service to other services and tools on the broker.
func (s *Service) instance() broker.Instance {
	out := broker.Instance{Name: s.name, Emits: s.emits}
	for _, m := range s.methods {
		out.Methods = append(out.Methods, broker.Method{
			Name: m.Name, Args: m.ArgNames(), Types: contract.TypeNames(m.ParamTypes()), Results: contract.TypeNames(m.Results),
		})
	}
	slices.SortFunc(out.Methods, func(a, b broker.Method) int { return strings.Compare(a.Name, b.Name) })
	for _, sub := range s.subscriptions {
		out.Handles = append(out.Handles, broker.Event{Source: sub.source, Name: sub.event, Mode: sub.mode})
	}
	for _, t := range s.timers {
		if t.schedule != nil {
			out.Crons = append(out.Crons, broker.Cron{Name: t.name, Schedule: t.schedule.String()})
		}
	}
	return out
}

// Measure returns the gauges of the service's extensions. Each gauge gets the
// label service. The gauges that could be measured are returned beside an
// error.
func (s *Service) Measure(ctx context.Context) ([]entrypoint.Gauge, error) {
	var all []entrypoint.Gauge
	var failures []error
	for _, x := range s.extensions {
		if g, ok := x.(entrypoint.Gauged); ok {
			some, err := g.Measure(ctx)
			all, failures = append(all, some...), append(failures, err)
		}
	}
	for i := range all {
		labels := map[string]string{"service": s.name}
		maps.Copy(labels, all[i].Labels)
		all[i].Labels = labels
	}
	return all, errors.Join(failures...)
}
