package contract

import (
	"bytes"
	"fmt"
	"go/format"
	"slices"
	"strconv"
	"strings"

	"github.com/enoki-go/enoki/internal/pysource"
)

// skeleton writes the Go services that take the place of Python ones which
// nobody calls: what starts their work, and functions that do it one day.
type skeleton struct {
	module  *pysource.Module
	names   names             // of the package
	events  map[string]string // variables, by event
	vars    bytes.Buffer
	body    bytes.Buffer
	hasWork bool
	hasHTTP bool
	hasTime bool
	file    File
}

func writeSkeleton(pkg, from string, m *pysource.Module, services, left []*Service) (*File, error) {
	w := &skeleton{module: m, names: names{"New": true}, events: map[string]string{}}
	for _, s := range services {
		w.service(s, len(services) == 1)
	}
	var out bytes.Buffer
	out.WriteString(w.heading(pkg, from, services, left))
	out.WriteString(w.imports())
	if w.vars.Len() > 0 {
		fmt.Fprintf(&out, "\n%svar (\n%s)\n", commentLines("Events that are handled here. They belong to the contracts of the services that emit them."), w.vars.String())
	}
	out.WriteString("\nvar errNotWritten = errors.New(\"not written yet\")\n")
	out.Write(w.body.Bytes())
	var err error
	if w.file.Source, err = format.Source(out.Bytes()); err != nil {
		return nil, fmt.Errorf("the skeleton from %s is not Go, please report it: %w", from, err)
	}
	return &w.file, nil
}

func (w *skeleton) heading(pkg, from string, services, left []*Service) string {
	what := "is a skeleton of the Nameko service "
	if len(services) > 1 {
		what = "holds skeletons of the Nameko services "
	}
	text := fmt.Sprintf("Package %s %s%s.\n\nWritten by enoki contract from %s, and yours to fill in: give each any its type, and each function its work.",
		pkg, what, strings.Join(namesOf(services), ", "), from)
	return commentLines(paragraphs(text, leftOut(left))) + "package " + pkg + "\n\n"
}

func (w *skeleton) imports() string {
	var b strings.Builder
	b.WriteString("import (\n")
	if w.hasWork {
		b.WriteString("\"context\"\n")
	}
	b.WriteString("\"errors\"\n")
	if w.hasHTTP {
		b.WriteString("\"net/http\"\n")
	}
	if w.hasTime {
		b.WriteString("\"time\"\n")
	}
	b.WriteString("\n\"github.com/enoki-go/enoki\"\n")
	if w.hasHTTP {
		b.WriteString("\"github.com/enoki-go/enoki/web\"\n")
	}
	b.WriteString(")\n")
	return b.String()
}

// service writes a type whose methods do the work, and the function that makes
// the service of it.
func (w *skeleton) service(s *Service, alone bool) {
	typ := w.names.take(exported(s.Class.Name), "Service")
	build := "New"
	if !alone {
		build = w.names.take("New"+exported(s.Name), "Service")
	}
	type shape struct {
		of        *pysource.Function
		signature string
	}
	fields, functions := names{}, map[shape]string{}
	var work strings.Builder // the functions
	out := Struct{Name: s.Name, Type: typ, Methods: []string{}}
	function := func(f *pysource.Function, signature, result string) string {
		key := shape{f, signature}
		if name, ok := functions[key]; ok {
			return name
		}
		w.hasWork = true
		functions[key] = fields.take(unexported(f.Name), "")
		out.Methods = append(out.Methods, f.Name)
		work.WriteString("\n")
		if f.Doc != "" {
			work.WriteString(commentLines(f.Doc))
		}
		fmt.Fprintf(&work, "func (s *%s) %s%s {\nreturn %serrNotWritten\n}\n", typ, functions[key], signature, result)
		return functions[key]
	}
	parts := w.handlers(s, function) + w.timers(s, function) + w.routes(s, function)

	fmt.Fprintf(&w.body, "\n%stype %s struct{}\n", commentLines(paragraphs(typ+" does the work of the service "+s.Name+". Its dependencies are fields.", s.Class.Doc, strings.Join(s.notes, "\n"))), typ)
	fmt.Fprintf(&w.body, "\n%sfunc %s() *enoki.Service {\ns := &%s{}\nreturn enoki.NewService(%q,\n%s)\n}\n",
		commentLines(build+" returns the service "+s.Name+"."), build, typ, s.Name, parts)
	w.body.WriteString(work.String())
	w.file.Structs = append(w.file.Structs, out)
}

// unexported is the Go name for a method of Python.
func unexported(python string) string {
	if name := parameter(python); name != "" {
		return name
	}
	return "x" + exported(python)
}

// addFunction declares a function of a service and returns its name.
type addFunction func(f *pysource.Function, signature, result string) string

func (w *skeleton) handlers(s *Service, add addFunction) string {
	var b strings.Builder
	for _, e := range s.handles {
		if e.name == "" || !isName(e.name) || !isName(e.source) {
			fmt.Fprintf(&b, "%s", commentLines(fmt.Sprintf("Line %d: %s handles the event (%s), which only a run tells.", e.line, e.function.Name, e.code)))
			continue
		}
		fmt.Fprintf(&b, "enoki.Subscription[any]{Event: %s, Handle: s.%s, Name: %q%s},\n", w.event(e),
			add(e.function, "(ctx context.Context, payload any) error", ""), e.function.Name, delivery(e))
	}
	return b.String()
}

// delivery is the fields with what Python says of how an event is handled. That
// it drops an event whose handler fails, it does not say, so Go's default stays.
func delivery(e event) string {
	fields, lossy := "", ""
	if e.lossy {
		lossy = "Ephemeral: true"
	}
	switch {
	case e.mode == "broadcast":
		fields = ", Delivery: enoki.Broadcast{}"
	case e.mode == "singleton":
		fields = ", Delivery: enoki.Singleton{" + lossy + "}"
	case e.lossy:
		fields = ", Delivery: enoki.Pool{" + lossy + "}"
	}
	if e.requeue {
		fields += ", OnError: enoki.Requeue{}"
	}
	return fields
}

// event returns the variable of an event.
func (w *skeleton) event(e event) string {
	key := e.source + "." + e.name
	if w.events[key] == "" {
		w.events[key] = w.names.take(exported(e.name), "Event")
		fmt.Fprintf(&w.vars, "%s = enoki.NewEvent[any](%q, %q)\n", w.events[key], e.source, e.name)
	}
	return w.events[key]
}

func (w *skeleton) timers(s *Service, add addFunction) string {
	var b strings.Builder
	for _, t := range s.timers {
		w.hasTime = true
		interval, known := seconds(t.interval)
		if !known {
			b.WriteString(commentLines(fmt.Sprintf("Line %d: the interval of %s is not a number in Python; give it here.", t.function.Line, t.function.Name)))
		}
		eager := ""
		if t.eager {
			eager = ", enoki.Eager()"
		}
		fmt.Fprintf(&b, "enoki.Every(%s, s.%s, enoki.TimerName(%q)%s),\n", interval,
			add(t.function, "(ctx context.Context) error", ""), t.function.Name, eager)
	}
	return b.String()
}

// seconds returns a duration in Go for a number of Python, or a minute.
func seconds(e pysource.Expr) (text string, known bool) {
	if e != nil {
		n, err := strconv.ParseFloat(strings.ReplaceAll(e.Text(), "_", ""), 64)
		switch {
		case err != nil || n <= 0:
		case n == float64(int64(n)):
			return fmt.Sprintf("%d * time.Second", int64(n)), true
		default:
			return fmt.Sprintf("%d * time.Millisecond", int64(n*1000)), n >= 0.001
		}
	}
	return "time.Minute", false
}

func (w *skeleton) routes(s *Service, add addFunction) string {
	known := slices.DeleteFunc(slices.Clone(s.routes), func(r route) bool { return r.rule == "" })
	if len(known) == 0 {
		return ""
	}
	w.hasHTTP = true
	var b strings.Builder
	fmt.Fprintf(&b, "web.Serve(&web.Options{Title: %q},\n", s.Name)
	for _, r := range known {
		fmt.Fprintf(&b, "web.Plain(%q, %q, s.%s),\n", r.methods, r.rule,
			add(r.function, "(ctx context.Context, r *http.Request) (*web.Text, error)", "nil, "))
	}
	b.WriteString("),\n")
	return b.String()
}
