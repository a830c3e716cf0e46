package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/enoki-go/enoki/broker"
)

// outcome is what became of a request that was seen and not compared.
type outcome int

const (
	leftOut    outcome = iota + 1 // of the sample
	unanswered                    // by the live service
	late                          // by the shadow, within the time of the request
	dropped                       // to keep within memory, or to end
)

// maxKinds bounds the kinds of differences that are told apart: the keys of a
// map may be as many as its users.
const maxKinds = 200

// shadowReport counts, and shows each kind of difference once, when it comes
// for the first time. Its methods may be called concurrently.
type shadowReport struct {
	cli     *cli
	service string
	ignore  []field
	mask    mask
	names   map[string][]string // arguments in order, by method; of those that the shadow tells

	printing sync.Mutex // held while examples are written

	mu    sync.Mutex // never held while anything is written: whoever reads stdout may be slow
	sum   shadowSummary
	kinds map[kindKey]*differenceKind
}

// kindKey tells kinds of differences apart.
type kindKey struct{ method, path string }

// shadowSummary is what --json shows in the end.
type shadowSummary struct {
	Seen        int `json:"seen"`
	LeftOut     int `json:"left_out"` // of the sample
	Compared    int `json:"compared"`
	Equal       int `json:"equal"`
	Different   int `json:"different"`
	NotAnswered int `json:"not_answered"`
	Late        int `json:"late"`
	Dropped     int `json:"dropped"`

	Kinds []*differenceKind `json:"kinds"` // the most frequent first
	More  int               `json:"more"`  // requests with kinds beyond those that are told apart
}

// differenceKind are the differences of one method at one path.
type differenceKind struct {
	Method   string `json:"method"`
	Path     string `json:"path"`
	Requests int    `json:"requests"`
}

// shownDifference is the example of a kind, as --json shows it.
type shownDifference struct {
	Method    string `json:"method"`
	Arguments any    `json:"arguments"`
	Path      string `json:"path"`
	Live      *any   `json:"live,omitempty"` // nil where there is nothing, not even null
	Shadow    *any   `json:"shadow,omitempty"`
}

func newShadowReport(c *cli, o *shadowOptions, names map[string][]string) *shadowReport {
	return &shadowReport{cli: c, service: o.service, ignore: o.ignore, mask: o.mask, names: names, kinds: map[kindKey]*differenceKind{}}
}

func (r *shadowReport) count(o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.Seen++
	switch o {
	case leftOut:
		r.sum.LeftOut++
	case unanswered:
		r.sum.NotAnswered++
	case late:
		r.sum.Late++
	case dropped:
		r.sum.Dropped++
	}
}

// compare counts a request with both of its answers, and shows what is new
// among their differences.
func (r *shadowReport) compare(method string, m *broker.Message, live, shadow answer) {
	differences := compareAnswers(live, shadow, r.ignore)
	if news := r.note(method, differences); len(news) > 0 {
		r.show(method, readRequest(m), news)
	}
}

func (r *shadowReport) note(method string, differences []difference) (news []difference) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.Seen++
	r.sum.Compared++
	if len(differences) == 0 {
		r.sum.Equal++
		return nil
	}
	r.sum.Different++
	return r.news(method, differences)
}

// news counts the request for the kinds of its differences, and returns the
// first difference of each kind that is new. r.mu is locked.
func (r *shadowReport) news(method string, differences []difference) []difference {
	counted := map[kindKey]bool{}
	var news []difference
	more := false
	for _, d := range differences {
		key := kindKey{method, d.kind.String()}
		kind := r.kinds[key]
		switch {
		case counted[key]:
			continue
		case kind == nil && len(r.kinds) == maxKinds:
			more = true
			continue
		case kind == nil:
			kind = &differenceKind{Method: r.service + "." + method, Path: key.path}
			r.kinds[key] = kind
			news = append(news, d)
		}
		counted[key] = true
		kind.Requests++
	}
	if more {
		r.sum.More++
	}
	return news
}

// show prints differences of one request.
func (r *shadowReport) show(method string, q request, differences []difference) {
	r.printing.Lock()
	defer r.printing.Unlock()
	name := r.service + "." + method
	if !r.cli.json {
		fmt.Fprintf(r.cli.stdout, "%s(%s)\n", name, r.argumentText(method, q))
	}
	for _, d := range differences {
		shown := shownDifference{Method: name, Arguments: r.arguments(method, q), Path: d.path.String(),
			Live: r.side(d.path, d.live), Shadow: r.side(d.path, d.shadow)}
		if r.cli.json {
			_ = writeJSON(r.cli.stdout, map[string]shownDifference{"difference": shown})
			continue
		}
		fmt.Fprintf(r.cli.stdout, "  %s\n    live    %s\n    shadow  %s\n", shown.Path, sideText(shown.Live), sideText(shown.Shadow))
	}
}

// side returns the value of one side as it may be shown; nil where there is
// none.
func (r *shadowReport) side(path field, v any) *any {
	if v == (absent{}) {
		return nil
	}
	if len(path) > 0 && path[0] == "failure" { // what is shown of it is the error
		path = field{"error"}
	}
	v = r.mask.value(path, v)
	return &v
}

// arguments returns the arguments of a request as they may be shown.
func (r *shadowReport) arguments(method string, q request) any {
	if q.text != "" {
		return r.mask.value(nil, opaque(q.text))
	}
	args := make([]any, len(q.args))
	for i, v := range q.args {
		args[i] = r.argument(r.nameOf(method, i), v)
	}
	kwargs := make(map[string]any, len(q.kwargs))
	for name, v := range q.kwargs {
		kwargs[name] = r.argument(name, v)
	}
	return map[string]any{"args": args, "kwargs": kwargs}
}

func (r *shadowReport) argument(name string, v any) any {
	return r.mask.value(field{"arguments"}.below(name), v)
}

// nameOf returns the name of an argument that was given by position, or its
// number when the shadow does not tell.
func (r *shadowReport) nameOf(method string, i int) string {
	if names := r.names[method]; i < len(names) {
		return names[i]
	}
	return strconv.Itoa(i)
}

func (r *shadowReport) argumentText(method string, q request) string {
	shown, ok := r.arguments(method, q).(map[string]any)
	if !ok {
		return valueText(r.arguments(method, q))
	}
	var words []string
	for _, v := range shown["args"].([]any) {
		words = append(words, valueText(v))
	}
	kwargs := shown["kwargs"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(kwargs)) {
		words = append(words, name+"="+valueText(kwargs[name]))
	}
	return strings.Join(words, ", ")
}

func sideText(v *any) string {
	if v == nil {
		return "(nothing)"
	}
	return valueText(*v)
}

func valueText(v any) string {
	var text bytes.Buffer
	if err := writeJSON(&text, v); err != nil {
		return err.Error()
	}
	return shorten(strings.TrimSpace(text.String()))
}

// maxShown is how much of a value people are shown, in characters; --json
// shows all of it.
const maxShown = 300

func shorten(text string) string {
	runes := []rune(text)
	if len(runes) <= maxShown {
		return text
	}
	return string(runes[:maxShown]) + "…"
}

// summarize prints what was counted, and returns it.
func (r *shadowReport) summarize() (shadowSummary, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.Kinds = make([]*differenceKind, 0, len(r.kinds))
	for _, kind := range r.kinds {
		r.sum.Kinds = append(r.sum.Kinds, kind)
	}
	slices.SortFunc(r.sum.Kinds, func(a, b *differenceKind) int {
		return cmp.Or(b.Requests-a.Requests, cmp.Compare(a.Method, b.Method), cmp.Compare(a.Path, b.Path))
	})
	if r.cli.json {
		return r.sum, writeJSON(r.cli.stdout, map[string]shadowSummary{"summary": r.sum})
	}
	return r.sum, r.writeSummary()
}

func (r *shadowReport) writeSummary() error {
	s := r.sum
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SEEN\tCOMPARED\tEQUAL\tDIFFERENT\tNOT ANSWERED\tLATE\tDROPPED")
	fmt.Fprintf(table, "%d\t%d\t%d\t%d\t%d\t%d\t%d\n", s.Seen, s.Compared, s.Equal, s.Different, s.NotAnswered, s.Late, s.Dropped)
	if len(s.Kinds) > 0 {
		_ = table.Flush() // into memory; the next table has columns of its own
		fmt.Fprintln(table, "\nREQUESTS\tMETHOD\tFIELD")
	}
	for _, kind := range s.Kinds {
		fmt.Fprintf(table, "%d\t%s\t%s\n", kind.Requests, kind.Method, kind.Path)
	}
	if s.More > 0 {
		fmt.Fprintf(table, "%d\t…\tmore than %d fields differ\n", s.More, maxKinds)
	}
	_ = table.Flush()
	_, err := fmt.Fprint(r.cli.stdout, text.String())
	return err
}
