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

// Service is a name and what was declared of it: what it serves, what it
// needs and what it emits. It runs by Run and holds no state of a run itself.
type Service struct {
	name          string
	methods       []*served
	named         map[string]bool // names of methods; a service may have thousands
	subscriptions []*subscription
	timers        []*timer
	extensions    []entrypoint.Extension
	emits         []broker.Event
	fills         []func(*Client) error // fill what the service needs, at start
	resources     []resource
	middleware    []Middleware
	errors        []fault.Type
	mistakes      []error
}

// Part is something that a service is declared of, such as RPC, On or Needs.
type Part interface {
	// declare adds the part to a service that is being made.
	declare(*Service) error
}

type partFunc func(*Service) error

func (f partFunc) declare(s *Service) error { return f(s) }

// Parts returns one part that stands for several, in their order.
func Parts(parts ...Part) Part {
	return partFunc(func(s *Service) error {
		var mistakes []error
		for n, part := range parts {
			mistakes = append(mistakes, s.add(part, n, len(parts)))
		}
		return errors.Join(mistakes...)
	})
}

// add adds the n-th of so many parts.
func (s *Service) add(part Part, n, of int) error {
	if isNil(part) {
		return fmt.Errorf("part %d of %d is nil; give one, or leave it out", n+1, of)
	}
	return declared(func() error { return part.declare(s) })
}

// NewService declares a service. The name is made of ASCII letters, digits,
// '_' and '-', a letter first. What can't work is reported by Check, and by
// Run before anything starts.
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

// Name returns the service's name.
func (s *Service) Name() string { return s.name }

// Check returns all that is wrong with the declaration, or nil. Each error
// names the thing, what is wrong with it and what to do.
func (s *Service) Check() error {
	if len(s.mistakes) == 0 {
		return nil
	}
	return fmt.Errorf("service %q cannot start: %w", s.name, errors.Join(s.mistakes...))
}

// Only is what Only of package enokitest calls, and nobody else can.
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
		_, used := x.(entrypoint.Preparer) // by handlers
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

// served is an RPC method with the function that does it.
type served struct {
	*contract.Method
	handle Handler
}

// RPC declares the methods of a contract: a struct, or a pointer to one,
// whose fields are functions, every one of them set but those that return
// answers, see Answer. A field is served under
// the name in its rpc tag, or else its own in snake case; the args tag names
// its arguments in order, and "?" after a name allows a caller to leave it
// out. "*" before the name of a slice has it take any further arguments by
// position, and "**" before that of a map any others by name; after a "*" alone
// arguments go by name only.
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
			if f.Reply != nil { // calls every instance: a caller's business
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

// Method declares a single method without a contract type: fn takes a context
// and the named arguments, and returns results, or a stream of them
// ([iter.Seq2] of a type and error), and an error.
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

// Needs declares that the service calls another one: functions points to a
// contract struct, whose functions are filled at start. When both services
// run in one process, a call takes the short way: it runs in the goroutine of
// its caller, with the same deadline, middleware and call stack and without
// the broker, arguments and results are shared instead of copied, and it
// returns when the handler does.
func Needs(service string, functions any) Part {
	return partFunc(func(s *Service) error {
		if err := checkBinding(service, functions); err != nil {
			return fmt.Errorf("needs %q: %w", service, err)
		}
		s.fills = append(s.fills, func(c *Client) error { return c.Bind(service, functions) })
		return nil
	})
}

// Use puts middleware around every handler of the service, the first one
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

// Describe says what the service serves and handles, one Description for each
// entrypoint.
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

// instance describes the service to others on the broker.
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

// Measure returns the gauges of the service's extensions, with the label
// service.
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
