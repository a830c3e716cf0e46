package contract

import (
	"fmt"
	"slices"
	"strings"

	"github.com/enoki-go/enoki/internal/pysource"
)

// Service is a Nameko service as its class declares it.
type Service struct {
	Name       string // "" when only a run of Python would tell
	NameSource string // what stands for it in the source
	Class      *pysource.Class

	methods []*pysource.Function // those with @rpc
	emits   []event
	handles []event
	routes  []route
	timers  []timer
	notes   []string // what could not be read

	lineage []*pysource.Class // with those of the file that it inherits from
}

// Calls tells whether the service has methods to call, and so a contract.
func (s *Service) Calls() bool { return len(s.methods) > 0 }

// works tells whether anything of the service is started by something.
func (s *Service) works() bool {
	return len(s.methods)+len(s.handles)+len(s.routes)+len(s.timers) > 0
}

// event is an event of a service.
type event struct {
	source   string // service
	name     string // type; "" when only a run of Python would tell
	code     string // what stands for both in the source
	line     int
	function *pysource.Function // that handles it
	mode     string             // "broadcast", "singleton", or "" for one of the instances
	requeue  bool               // when its handler fails
	lossy    bool               // kept for nobody who is away
}

// route is an HTTP entrypoint of a service.
type route struct {
	methods, rule string // "" when only a run of Python would tell
	function      *pysource.Function
}

// timer runs a function at an interval.
type timer struct {
	interval pysource.Expr // nil when none is given
	eager    bool
	function *pysource.Function
}

// Services returns the classes of a module that have a name and something that
// starts their work; nameless are those whose name is not a string of the file,
// or is not in it at all. A class that others of the file inherit from is part
// of these.
func Services(m *pysource.Module) (services, nameless []*Service) {
	inherited := map[*pysource.Class]bool{}
	var unnamed []*Service
	for _, class := range m.Classes {
		lineage, strangers := m.Lineage(class)
		r := serviceReader{module: m, lineage: lineage, service: &Service{Class: class, lineage: lineage}}
		r.read(strangers)
		if !r.service.works() {
			continue
		}
		for _, base := range lineage[1:] {
			inherited[base] = true
		}
		name, known := attribute(lineage, "name"), false
		if name != nil {
			r.service.NameSource = name.Value.Text()
			r.service.Name, known = m.String(name.Value, lineage...)
		}
		if known {
			services = append(services, r.service)
		} else {
			unnamed = append(unnamed, r.service)
		}
	}
	for _, s := range unnamed {
		if !inherited[s.Class] {
			nameless = append(nameless, s)
		}
	}
	return services, nameless
}

// LeftOut says why a service of the file is not in what is written.
func (s *Service) LeftOut() string {
	switch {
	case s.Name != "" && !s.Calls():
		return fmt.Sprintf("class %s, line %d (service %s): it has no @rpc method", s.Class.Name, s.Class.Line, s.Name)
	case s.Name != "":
		return fmt.Sprintf("class %s, line %d (service %s): another one was asked for", s.Class.Name, s.Class.Line, s.Name)
	}
	return fmt.Sprintf("class %s, line %d: its name is %s; give it with --service NAME", s.Class.Name, s.Class.Line, s.NameText())
}

// Offers says what of a service is called or started, in Nameko's words.
func (s *Service) Offers() string {
	if s.Calls() {
		return "@rpc methods"
	}
	return "entrypoints"
}

// NameText says where the name of a nameless service comes from.
func (s *Service) NameText() string {
	if s.NameSource == "" {
		return "not in this file"
	}
	return s.NameSource + ", which this file does not say"
}

// attribute returns what a class or those it inherits from assign to a name,
// or nil.
func attribute(lineage []*pysource.Class, name string) *pysource.Assign {
	for _, c := range lineage {
		if a := c.Assign(name); a != nil {
			return a
		}
	}
	return nil
}

// serviceReader reads the class of a service.
type serviceReader struct {
	module  *pysource.Module
	lineage []*pysource.Class
	service *Service
}

func (r *serviceReader) read(strangers []pysource.Expr) {
	for _, base := range strangers {
		r.note("%s is not in this file; what it declares is missing here.", base.Text())
	}
	dispatchers := r.dispatchers()
	for _, f := range methodsOf(r.lineage) {
		for _, d := range f.Decorators {
			r.decorator(f, d)
		}
		for _, call := range f.Calls {
			if slices.Contains(dispatchers, call.Callee) {
				r.dispatch(call)
			}
		}
	}
}

// methodsOf returns those of a class and the ones it inherits, first its own.
func methodsOf(lineage []*pysource.Class) []*pysource.Function {
	var found []*pysource.Function
	hidden := map[string]bool{}
	for _, c := range lineage {
		var own []*pysource.Function
		for _, f := range slices.Backward(c.Methods) { // a later def replaces an earlier one
			if !hidden[f.Name] {
				own = append(own, f)
			}
			hidden[f.Name] = true
		}
		slices.Reverse(own)
		found = append(found, own...)
		for _, a := range c.Assigns {
			hidden[a.Name] = hidden[a.Name] || a.Value != nil
		}
	}
	return found
}

// dispatchers are the names by which methods call the event dispatchers of
// the service.
func (r *serviceReader) dispatchers() []string {
	var names []string
	for _, c := range r.lineage {
		for _, a := range c.Assigns {
			if call, ok := a.Value.(*pysource.Call); ok && strings.HasSuffix("."+r.module.Path(call.Func), ".EventDispatcher") {
				names = append(names, "self."+a.Name)
			}
		}
	}
	return names
}

func (r *serviceReader) decorator(f *pysource.Function, d pysource.Expr) {
	var args []pysource.Arg
	if call, ok := d.(*pysource.Call); ok {
		d, args = call.Func, call.Args
	}
	switch {
	case r.isRPC(d):
		if !slices.Contains(r.service.methods, f) {
			r.service.methods = append(r.service.methods, f)
		}
	case r.module.Means(d, "nameko.events.event_handler"):
		r.handler(f, args)
	case r.module.Means(d, "nameko.web.handlers.http"):
		r.route(f, args)
	case r.module.Means(d, "nameko.timer.timer"):
		r.timer(f, args)
	case r.module.Means(d, "nameko.messaging.consume"):
		r.note("Line %d: %s consumes a queue of its own, which is nameko.Consume in Go.", f.Line, f.Name)
	case r.module.Means(d, "nameko.web.websocket.rpc"):
		r.note("Line %d: %s is called over WebSockets, which is web.WebSocket in Go.", f.Line, f.Name)
	}
}

func (r *serviceReader) route(f *pysource.Function, args []pysource.Arg) {
	methods, rule := argument(args, 0, "method"), argument(args, 1, "url")
	if methods == nil || rule == nil {
		return // Python refuses it as well
	}
	to := route{function: f}
	to.methods, _ = r.module.String(methods, r.lineage...)
	to.rule, _ = r.module.String(rule, r.lineage...)
	if to.methods == "" || to.rule == "" {
		r.note("Line %d: %s is the HTTP entrypoint %s, %s, which only a run tells.", f.Line, f.Name, methods.Text(), rule.Text())
		to.methods, to.rule = "", ""
	}
	r.service.routes = append(r.service.routes, to)
}

func (r *serviceReader) timer(f *pysource.Function, args []pysource.Arg) {
	interval := argument(args, 0, "interval")
	if name, ok := interval.(*pysource.Name); ok {
		if value := r.module.Value(name.ID); value != nil {
			interval = value
		}
	}
	r.service.timers = append(r.service.timers, timer{interval: interval, eager: isWord(argument(args, 1, "eager"), "True"), function: f})
}

// isWord tells whether e, which may be nil, is a word such as True.
func isWord(e pysource.Expr, word string) bool { return e != nil && e.Text() == word }

// isRPC reports whether a decorator is Nameko's rpc, by whichever name. One of
// another package's that is called rpc is taken for it too, since teams extend
// Nameko's; but not the others of Nameko itself, as that for WebSockets.
func (r *serviceReader) isRPC(d pysource.Expr) bool {
	d = r.preset(d)
	if r.module.Means(d, "nameko.rpc.rpc") || r.module.Means(d, "nameko.rpc.Rpc.decorator") {
		return true
	}
	path := r.module.Path(d)
	from, ok := strings.CutSuffix(path, ".rpc")
	if !ok || strings.HasPrefix(path, "nameko.") {
		return false
	}
	r.note("@%s of %s is taken for Nameko's.", d.Text(), strings.TrimRight(from, "."))
	return true
}

// preset returns rpc for a name that is partial(rpc, …).
func (r *serviceReader) preset(d pysource.Expr) pysource.Expr {
	name, ok := d.(*pysource.Name)
	if !ok {
		return d
	}
	call, ok := r.module.Value(name.ID).(*pysource.Call)
	if ok && len(call.Args) > 0 && strings.HasSuffix("."+r.module.Path(call.Func), ".partial") {
		return call.Args[0].Value
	}
	return d
}

func (r *serviceReader) handler(f *pysource.Function, args []pysource.Arg) {
	source, name := argument(args, 0, "source_service"), argument(args, 1, "event_type")
	if source == nil || name == nil {
		return // Python refuses it as well
	}
	e := event{code: source.Text() + ", " + name.Text(), line: f.Line, function: f}
	mode := argument(args, 2, "handler_type")
	for path, word := range map[string]string{"nameko.events.BROADCAST": "broadcast", "nameko.events.SINGLETON": "singleton"} {
		if mode != nil && r.module.Means(mode, path) {
			e.mode = word
		}
	}
	e.lossy = isWord(argument(args, 3, "reliable_delivery"), "False")
	e.requeue = isWord(argument(args, 4, "requeue_on_error"), "True")
	var sourceKnown, nameKnown bool
	e.source, sourceKnown = r.module.String(source, r.lineage...)
	e.name, nameKnown = r.module.String(name, r.lineage...)
	if !sourceKnown || !nameKnown {
		e.name = ""
	}
	r.service.handles = append(r.service.handles, e)
}

// argument returns an argument that goes by position or by name, or nil.
func argument(args []pysource.Arg, i int, name string) pysource.Expr {
	for _, a := range args {
		if a.Name == name {
			return a.Value
		}
	}
	if i < len(args) && args[i].Name == "" {
		return args[i].Value
	}
	return nil
}

func (r *serviceReader) dispatch(call pysource.BodyCall) {
	e := event{code: call.Callee + "(…)", line: call.Line}
	if call.First != nil && (call.First.Name == "" || call.First.Name == "event_type") {
		e.name, _ = r.module.String(call.First.Value, r.lineage...)
	}
	known := func(other event) bool { return e.name != "" && other.name == e.name }
	if !slices.ContainsFunc(r.service.emits, known) {
		r.service.emits = append(r.service.emits, e)
	}
}

func (r *serviceReader) note(format string, a ...any) {
	note := fmt.Sprintf(format, a...)
	if !slices.Contains(r.service.notes, note) {
		r.service.notes = append(r.service.notes, note)
	}
}
