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
)

// Service is a name and what was declared of it: what it serves, what it
// needs and what it emits. It runs by Run and holds no state of a run itself.
type Service struct {
	name          string
	methods       []*served
	named         map[string]bool // names of methods; a service may have thousands
	subscriptions []*subscription
	timers        []*timer
	extensions    []Extension
	emits         []broker.Event
	fills         []func(*Client) error // fill what the service needs, at start
	resources     []resource
	middleware    []Middleware
	errors        []ErrorType
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
	if err := checkName("service", name); err != nil {
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

// Only returns the service as it would be with no other entrypoints than those
// named: RPC methods, event handlers and timers. HTTP and WebSockets are left
// out. It is for tests. A name that the service has not is reported by Check.
func (s *Service) Only(names ...string) *Service {
	known := map[string]bool{}
	picked := func(name string) bool {
		known[name] = true
		return slices.Contains(names, name)
	}
	out := *s
	out.methods = slices.DeleteFunc(slices.Clone(s.methods), func(m *served) bool { return !picked(m.name) })
	out.subscriptions = slices.DeleteFunc(slices.Clone(s.subscriptions), func(sub *subscription) bool { return !picked(sub.handler) })
	out.timers = slices.DeleteFunc(slices.Clone(s.timers), func(t *timer) bool { return !picked(t.name) })
	out.extensions = slices.DeleteFunc(slices.Clone(s.extensions), func(x Extension) bool {
		_, used := x.(Preparer) // by handlers
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
	*method
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
func RPC(contract any) Part {
	return partFunc(func(s *Service) error {
		v := reflect.ValueOf(contract)
		if v.Kind() == reflect.Pointer && !v.IsNil() {
			v = v.Elem()
		}
		if !v.IsValid() {
			return fmt.Errorf("contract is nil; give RPC a struct whose fields are functions")
		}
		fields, err := contractFields(v.Type())
		if err != nil {
			return err
		}
		var mistakes []error
		for _, f := range fields {
			if f.reply != nil { // calls every instance: a caller's business
				continue
			}
			fn := v.Field(f.index)
			if fn.IsNil() {
				mistakes = append(mistakes, fmt.Errorf("contract field %s.%s is nil; set it to the function that serves %s", v.Type(), v.Type().Field(f.index).Name, f.name))
				continue
			}
			mistakes = append(mistakes, s.serve(f.method, fn))
		}
		return errors.Join(mistakes...)
	})
}

// Method declares a single method without a contract type: fn takes a context
// and the named arguments, and returns results, or a stream of them
// ([iter.Seq2] of a type and error), and an error.
func Method(name string, fn any, args ...string) Part {
	return partFunc(func(s *Service) error {
		f, err := newFunction(name, fn, args...)
		if err != nil {
			return err
		}
		if f.method.reply != nil {
			return fmt.Errorf("method %q returns replies, which only callers get; return a single value", name)
		}
		return s.serve(f.method, f.fn)
	})
}

func (s *Service) serve(m *method, fn reflect.Value) error {
	if s.named[m.name] {
		return fmt.Errorf("method %q is declared twice; serve it once", m.name)
	}
	s.named[m.name] = true
	s.methods = append(s.methods, &served{method: m, handle: invoke(fn)})
	return nil
}

// Needs declares that the service calls another one: contract points to a
// contract struct, whose functions are filled at start. When both services
// run in one process, a call takes the short way: it runs in the goroutine of
// its caller, with the same deadline, middleware and call stack and without
// the broker, arguments and results are shared instead of copied, and it
// returns when the handler does.
func Needs(service string, contract any) Part {
	return partFunc(func(s *Service) error {
		if err := checkBinding(service, contract); err != nil {
			return fmt.Errorf("needs %q: %w", service, err)
		}
		s.fills = append(s.fills, func(c *Client) error { return Bind(c, service, contract) })
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
func Extend(x Extension) Part {
	return partFunc(func(s *Service) error {
		if isNil(x) {
			return errors.New("extension is nil; give Extend one")
		}
		s.extensions = append(s.extensions, x)
		return x.Check()
	})
}

// Extension is an entrypoint that brings work of its own kind to a service.
type Extension interface {
	// Check returns what would keep it from starting, before anything starts.
	Check() error

	// Start begins to take work and returns once it does. The scope serves
	// until Stop has returned; ctx is cancelled when the service must stop at
	// once.
	Start(ctx context.Context, scope *Scope) error

	// Stop stops taking work and waits for what runs, until ctx ends.
	Stop(ctx context.Context) error

	// Describe returns a line for each thing it serves, for people.
	Describe() []string
}

// Preparer is an Extension that gives handlers something to use.
type Preparer interface {
	Extension

	// Prepare is called once at each start, before the service takes work.
	Prepare(ctx context.Context, scope *Scope) error
}

// Describe returns a line for each thing that the service serves, handles or
// emits, for people.
func (s *Service) Describe() []string {
	var lines []string
	for _, m := range s.methods {
		lines = append(lines, "rpc "+m.name+"("+strings.Join(m.argNames(), ", ")+")")
	}
	for _, sub := range s.subscriptions {
		lines = append(lines, "event "+sub.source+"."+sub.event)
	}
	for _, t := range s.timers {
		if t.schedule != nil {
			lines = append(lines, fmt.Sprintf("cron %s at %v", t.name, t.schedule))
		} else {
			lines = append(lines, fmt.Sprintf("timer %s every %v", t.name, t.interval))
		}
	}
	for _, x := range s.extensions {
		if err := declared(func() error { lines = append(lines, x.Describe()...); return nil }); err != nil {
			lines = append(lines, fmt.Sprintf("%T, which can't describe itself: %v", x, err))
		}
	}
	return lines
}

// instance describes the service to others on the broker.
func (s *Service) instance() broker.Instance {
	out := broker.Instance{Name: s.name, Emits: s.emits}
	for _, m := range s.methods {
		out.Methods = append(out.Methods, broker.Method{
			Name: m.name, Args: m.argNames(), Types: typeNames(m.paramTypes()), Results: typeNames(m.results),
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
