// Package contract writes Go contracts from the Python source of Nameko
// services. It leaves reading Python to package pysource.
package contract

import (
	"bytes"
	"fmt"
	"go/format"
	"slices"
	"strings"
	"unicode"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/internal/pysource"
)

// File is a Go file with the contracts of services.
type File struct {
	Source  []byte // formatted
	Structs []Struct
}

// Struct is the contract of one service.
type Struct struct {
	Name    string   `json:"name"` // of the service
	Type    string   `json:"type"`
	Methods []string `json:"methods"`
}

// writer writes such a file, from above to below.
type writer struct {
	types   annotations
	body    bytes.Buffer
	traffic *Traffic
	hasVars bool // events, which need package enoki
	file    File
}

// Write returns the file for services of a module, formatted: their contracts
// or, when none of them can be called, skeletons of the services themselves.
// left are the services of the module that were not chosen.
//
// What has no annotation gets the type that was seen in traffic, which may be
// nil.
func Write(pkg, from string, m *pysource.Module, services, left []*Service, traffic *Traffic) (*File, error) {
	if !slices.ContainsFunc(services, (*Service).Calls) {
		return writeSkeleton(pkg, from, m, services, left)
	}
	w := &writer{types: annotations{module: m, names: names{}, known: map[string]goType{}, open: map[string]bool{}}, traffic: traffic}
	for _, s := range services {
		if err := w.service(s); err != nil {
			return nil, enoki.Errorf(enoki.InvalidArgument, "%s:%d: %w", from, s.Class.Line, err)
		}
	}
	return w.finish(heading(pkg, from, services, left), from)
}

// finish returns the whole file.
func (w *writer) finish(heading, from string) (*File, error) {
	w.structs()
	var out bytes.Buffer
	out.WriteString(heading)
	out.WriteString(w.imports())
	out.Write(w.body.Bytes())
	var err error
	if w.file.Source, err = format.Source(out.Bytes()); err != nil {
		return nil, fmt.Errorf("the contract from %s is not Go, please report it: %w", from, err)
	}
	return &w.file, nil
}

func (w *writer) imports() string {
	var ours string
	if w.hasVars {
		ours += "\"github.com/enoki-go/enoki\"\n"
	}
	if bytes.Contains(w.body.Bytes(), []byte(tagged)) {
		ours += "\"github.com/enoki-go/enoki/nameko\"\n"
	}
	if ours == "" {
		return "import \"context\"\n"
	}
	return "import (\n\"context\"\n\n" + ours + ")\n"
}

func heading(pkg, from string, services, left []*Service) string {
	list := namesOf(services)
	what := "the contract of the Nameko service "
	if len(list) > 1 {
		what = "the contracts of the Nameko services "
	}
	text := fmt.Sprintf("Package %s holds %s%s.\n\nWritten by enoki contract from %s, and yours to edit: give each any its type.",
		pkg, what, strings.Join(list, ", "), from)
	return commentLines(paragraphs(text, leftOut(left))) + "package " + pkg + "\n\n"
}

func namesOf(services []*Service) (names []string) {
	for _, s := range services {
		names = append(names, s.Name)
	}
	return names
}

// leftOut lists the services that are not in the file.
func leftOut(left []*Service) string {
	var lines []string
	for _, s := range left {
		lines = append(lines, "Left out: "+s.LeftOut()+".")
	}
	return strings.Join(lines, "\n")
}

// gofmtQuotes takes from text what gofmt makes typographic quotes of: Python's
// empty string, and the code of reStructuredText.
var gofmtQuotes = strings.NewReplacer("''", `""`, "``", "`")

// commentLines writes text as comment lines, without what Go does not want in its
// source.
func commentLines(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(gofmtQuotes.Replace(text), "\n") {
		line = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || r == '\ufeff' {
				return ' '
			}
			return r
		}, line)
		b.WriteString(strings.TrimRight("// "+line, " ") + "\n")
	}
	return b.String()
}

// paragraphs joins those that are not empty.
func paragraphs(parts ...string) string {
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	return strings.Join(parts, "\n\n")
}

func (w *writer) service(s *Service) error {
	name := w.types.names.take(exported(s.Name), "Service")
	out := Struct{Name: s.Name, Type: name, Methods: []string{}}
	fields := names{}
	var body strings.Builder
	var left []string // methods that Go can't have
	wide := false     // the field before has a comment
	for _, f := range s.methods {
		field, err := w.method(s, f, fields)
		if err != nil {
			left = append(left, fmt.Sprintf("%s is not here: %v.", f.Name, err))
			continue
		}
		commented := strings.HasPrefix(field, "//")
		if len(out.Methods) > 0 && (commented || wide) {
			body.WriteByte('\n')
		}
		wide = commented
		body.WriteString(field)
		out.Methods = append(out.Methods, f.Name)
	}
	if len(out.Methods) == 0 {
		return fmt.Errorf("class %s has no method for a contract: %s", s.Class.Name, strings.Join(left, " "))
	}
	if !isName(s.Name) {
		s.notes = append(s.notes, fmt.Sprintf("Enoki calls no service by the name %q: it takes %s.", s.Name, enokiNames))
	}
	doc := fmt.Sprintf("%s is what the service %s offers, of its class %s.", name, s.Name, s.Class.Name)
	w.body.WriteString("\n" + commentLines(paragraphs(doc, s.Class.Doc, handled(s), strings.Join(append(s.notes, left...), "\n"))))
	fmt.Fprintf(&w.body, "type %s struct {\n%s}\n", name, body.String())
	w.events(s)
	w.file.Structs = append(w.file.Structs, out)
	return nil
}

// handled lists the events that a service handles.
func handled(s *Service) string {
	var lines []string
	for _, e := range s.handles {
		event := e.source + "." + e.name
		if e.name == "" {
			event = "(" + e.code + ")"
		}
		handler := e.function.Name
		if e.mode != "" {
			handler += ", " + e.mode
		}
		lines = append(lines, fmt.Sprintf("It handles the event %s (%s).", event, handler))
	}
	return strings.Join(lines, "\n")
}

// events declares those that a service dispatches.
func (w *writer) events(s *Service) {
	var vars, others strings.Builder
	for _, e := range s.emits {
		switch {
		case e.name == "":
			others.WriteString(commentLines(fmt.Sprintf("Line %d: %s dispatches an event whose type only a run tells.", e.line, e.code)))
		case !isName(e.name) || !isName(s.Name):
			others.WriteString(commentLines(fmt.Sprintf("Line %d: Enoki knows no event by the name %q of %q: it takes %s.", e.line, e.name, s.Name, enokiNames)))
		default:
			w.hasVars = true
			fmt.Fprintf(&vars, "%s = enoki.NewEvent[any](%q, %q)\n", w.types.names.take(exported(e.name), "Event"), s.Name, e.name)
		}
	}
	if others.Len() > 0 {
		w.body.WriteString("\n" + others.String())
	}
	if vars.Len() > 0 {
		fmt.Fprintf(&w.body, "\n%svar (\n%s)\n", commentLines("Events that "+s.Name+" emits."), vars.String())
	}
}

const enokiNames = "ASCII letters, digits, '_', '-' and single dots between, a letter first"

// isName reports whether Enoki takes a name for an event or a service.
func isName(s string) bool {
	before := '.'
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		later := i > 0 && (r >= '0' && r <= '9' || r == '-' || r == '.' && before != '.')
		if !letter && !later {
			return false
		}
		before = r
	}
	return before != '.'
}

// structs declares the TypedDicts that the contracts use.
func (w *writer) structs() {
	for _, s := range w.types.structs {
		what := " is a TypedDict."
		if s.seen {
			what = " was seen in live calls."
		}
		doc := paragraphs(s.name+what, s.doc)
		fmt.Fprintf(&w.body, "\n%stype %s struct {\n", commentLines(doc), s.name)
		for _, f := range s.fields {
			note := ""
			if f.note != "" {
				note = " // " + f.note
			}
			fmt.Fprintf(&w.body, "%s %s `json:%q`%s\n", f.name, f.typ, f.json, note)
		}
		w.body.WriteString("}\n")
	}
}
