package openapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/web"
)

func quiet(t *testing.T) {
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
}

// shade is an enum with a text form of its own.
type shade int

func (s shade) MarshalText() ([]byte, error) { return []byte(fmt.Sprintf("shade-%d", int(s))), nil }
func (s *shade) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "shade-%d", (*int)(s))
	return err
}

// loose speaks JSON for itself, and says nothing of it.
type loose struct{ json.RawMessage }

type base struct {
	Kind string `json:"kind" enum:"a,b"`
	Note string `json:"note,omitempty" maxLength:"3"`
}

type node struct {
	Name string           `json:"name" pattern:"^[a-z]*$"`
	Kids []node           `json:"kids,omitempty" maxItems:"2"`
	Next *node            `json:"next,omitempty"`
	Up   *node            `json:"up"`
	By   map[string]*node `json:"by,omitempty"`
}

type sink struct {
	base
	Text     string            `json:"text" minLength:"1" maxLength:"4"`
	Int8     int8              `json:"int8"`
	Uint16   uint16            `json:"uint16,omitempty"`
	Int      int64             `json:"int,omitempty" minimum:"-5" maximum:"5"`
	Float    float64           `json:"float,omitempty" exclusiveMinimum:"0" multipleOf:"0.5"`
	Float32  float32           `json:"float32,omitempty"`
	Bool     bool              `json:"bool"`
	Maybe    *string           `json:"maybe"`
	Tags     []string          `json:"tags" minItems:"0" maxItems:"3" uniqueItems:"true"`
	Table    map[string]int8   `json:"table"`
	ByNumber map[int]string    `json:"by_number,omitempty"`
	Bytes    []byte            `json:"bytes"`
	Pair     [2]int8           `json:"pair"`
	When     time.Time         `json:"when"`
	Took     time.Duration     `json:"took,omitempty"`
	Quoted   int               `json:"quoted,string"`
	Number   json.Number       `json:"number"`
	IP       net.IP            `json:"ip,omitempty"`
	Addr     netip.Addr        `json:"addr,omitzero"`
	URL      url.URL           `json:"url"`
	Shade    shade             `json:"shade"`
	Loose    loose             `json:"loose"`
	Raw      json.RawMessage   `json:"raw,omitempty"`
	Any      any               `json:"any"`
	Limit    int               `json:"limit" default:"5" minimum:"0"`
	Choice   *string           `json:"choice,omitempty" enum:"x,y"`
	Open     openPart          `json:"open,omitzero"`
	Node     *node             `json:"node,omitempty"`
	Lists    [][]string        `json:"lists,omitempty"`
	Maps     []map[string]bool `json:"maps,omitempty"`
}

type openPart struct {
	_    struct{} `json:"-" additionalProperties:"true"`
	Name string   `json:"name,omitempty"`
}

type sinkInput struct{ Body sink }

type sinkOutput struct {
	Made  time.Time `header:"Last-Modified"`
	Count int       `header:"X-Count"`
	Tags  []string  `header:"X-Tag"`
	Maybe *string   `header:"X-Maybe"`
	Shade shade     `header:"X-Shade"`
	Body  sink
}

func kitchenSink() http.Handler {
	type statusOutput struct {
		Status int `enum:"200,202"`
		Body   []*node
	}
	type freeStatus struct {
		Status   int
		Location string `header:"Location"`
		Body     map[string]any
	}
	return web.NewHandler(nil,
		web.Post("/sink", func(_ context.Context, in *sinkInput) (*sinkOutput, error) {
			return &sinkOutput{Made: time.Unix(1e9, 0), Count: 3, Tags: []string{"a", "b"}, Body: in.Body}, nil
		}),
		web.Put("/zero", func(context.Context, *struct{}) (*sinkOutput, error) {
			return &sinkOutput{Body: sink{base: base{Kind: "a"}, Text: "x", Loose: loose{json.RawMessage("1")}}}, nil
		}),
		web.Get("/status/{n}", func(_ context.Context, in *struct {
			N int `path:"n"`
		}) (*statusOutput, error) {
			return &statusOutput{Status: in.N}, nil
		}),
		web.Get("/free/{n}", func(_ context.Context, in *struct {
			N int `path:"n"`
		}) (*freeStatus, error) {
			return &freeStatus{Status: in.N, Location: "/x"}, nil
		}),
		web.Delete("/gone", func(context.Context, *struct{}) (*struct{}, error) { return nil, nil }),
		web.Post("/made", func(context.Context, *struct{}) (*struct{ Body *node }, error) { return &struct{ Body *node }{}, nil }, web.Status(201)),
		web.Get("/bytes", func(context.Context, *struct{}) (*struct {
			Type string `header:"Content-Type"`
			Body []byte
		}, error) {
			return &struct {
				Type string `header:"Content-Type"`
				Body []byte
			}{"text/csv", []byte("a,b")}, nil
		}),
		web.Get("/fault/{how}", func(_ context.Context, in *struct {
			How string `path:"how"`
		}) (*struct{ Body sink }, error) {
			switch in.How {
			case "panic":
				panic("fault")
			case "nil":
				return nil, nil
			case "plain":
				return nil, fmt.Errorf("fault")
			case "nan":
				return &struct{ Body sink }{sink{Any: func() {}}}, nil
			}
			return nil, enoki.Errorf(enoki.Code(in.How), "fault")
		}),
	)
}

const wholeSink = `{"kind":"a","note":"n","text":"abc","int8":-128,"uint16":65535,"int":5,"float":1.5,"float32":0.25,"bool":true,"maybe":null,
"tags":["x","y"],"table":{"k":127},"by_number":{"-3":"x"},"bytes":"YQ==","pair":[1,2],"when":"2026-01-02T03:04:05.5+01:00","took":5,"quoted":"-7",
"number":1e3,"ip":"::1","addr":"127.0.0.1","url":"https://example.com/x?y=%20","shade":"shade-3","loose":{"x":[1]},"raw":[{"a":null}],"any":{"deep":[1.5,"x"]},
"limit":0,"choice":"y","open":{"name":"n","Name":"other","more":[{}]},"node":{"name":"a","up":null,"kids":[{"name":"b","up":{"name":"c","up":null}}],"by":{"k":null}},
"lists":[[],["a"]],"maps":[{},{"x":true}]}`

func TestKitchenSink(t *testing.T) {
	quiet(t)
	j := newJudge(t, kitchenSink())
	if !j.takes("POST", "/sink", wholeSink) {
		t.Error("the document does not take the whole sink")
	}
	if got := j.ask("POST", "/sink", "/sink", wholeSink); got.status != 200 {
		t.Errorf("%+v", got)
	}
	if got := j.ask("PUT", "/zero", "/zero", ""); got.status != 200 {
		t.Errorf("%+v", got)
	}
	for n, want := range map[int]int{0: 200, 200: 200, 202: 202, 204: 500, 404: 500} {
		if got := j.ask("GET", "/status/{n}", fmt.Sprint("/status/", n), ""); got.status != want {
			t.Errorf("%d: %+v", n, got)
		}
	}
	for n, want := range map[int]int{0: 200, 201: 201, 204: 204, 302: 302, 304: 304, 500: 500, 99: 500} {
		if got := j.ask("GET", "/free/{n}", fmt.Sprint("/free/", n), ""); got.status != want {
			t.Errorf("%d: %+v", n, got)
		}
	}
	for _, code := range []string{"panic", "nil", "plain", "nan", "not_found", "already_exists", "unavailable", "deadline_exceeded", "nonsense"} {
		if got := j.ask("GET", "/fault/{how}", "/fault/"+code, ""); got.status < 400 {
			t.Errorf("%s: %+v", code, got)
		}
	}
	for _, c := range []struct{ method, path, target string }{
		{"DELETE", "/gone", "/gone"}, {"POST", "/made", "/made"}, {"GET", "/bytes", "/bytes"}, {"GET", "/free/{n}", "/free/x"},
	} {
		j.ask(c.method, c.path, c.target, "")
	}
	j.ask("POST", "/sink", "/sink", "")
	j.ask("POST", "/sink", "/sink", "{")
	j.ask("POST", "/sink", "/sink", "{}", "Content-Encoding", "gzip")
	j.wantAllCalled()
}

// TestDocumentAndCheckAgree changes a valid body in one or two places at random
// and compares what the document says of it with what the service does.
func TestDocumentAndCheckAgree(t *testing.T) {
	quiet(t)
	j := newJudge(t, kitchenSink())
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	var whole map[string]any
	if err := json.Unmarshal([]byte(wholeSink), &whole); err != nil {
		t.Fatal(err)
	}
	taken := 0
	for range 2000 {
		body := changed(random, whole)
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		says := j.takes("POST", "/sink", string(text))
		got := j.ask("POST", "/sink", "/sink", string(text))
		if (got.status == 200) != says && !(says && onlyOwnText(got)) {
			t.Fatalf("seed %d: the document takes it: %v; the service: %+v\n%s", seed, says, got, text)
		}
		if says {
			taken++
		}
	}
	if taken < 100 || taken > 1900 {
		t.Errorf("%d of 2000 bodies were valid; the test shows little", taken)
	}
}

// onlyOwnText reports whether all that the service refused are texts that types
// read themselves, of which the document can't say more than that they are texts.
func onlyOwnText(got answer) bool {
	var p web.Problem
	if json.Unmarshal([]byte(got.body), &p) != nil || len(p.Errors) == 0 {
		return false
	}
	for _, fault := range p.Errors {
		if !slices.Contains([]string{"body.ip", "body.addr", "body.url", "body.shade"}, fault.Location) {
			return false
		}
	}
	return true
}

// changed returns a copy of v with a change somewhere in it.
func changed(random *rand.Rand, v any) any {
	switch v := v.(type) {
	case map[string]any:
		return changedObject(random, v)
	case []any:
		out := append([]any{}, v...)
		switch n := random.IntN(4); {
		case n == 0:
			return append(out, value(random))
		case n == 1 && len(out) > 0:
			return out[1:]
		case len(out) > 0:
			i := random.IntN(len(out))
			out[i] = changed(random, out[i])
		}
		return out
	}
	return value(random)
}

func changedObject(random *rand.Rand, v map[string]any) any {
	if random.IntN(30) == 0 {
		return value(random)
	}
	out := map[string]any{}
	keys := []string{}
	for key, item := range v {
		out[key] = item
		keys = append(keys, key)
	}
	if len(keys) == 0 || random.IntN(15) == 0 {
		out[[]string{"x", "TEXT", "Kind", "name", "5"}[random.IntN(5)]] = value(random)
		return out
	}
	for range 1 + random.IntN(2) {
		key := keys[random.IntN(len(keys))]
		switch random.IntN(12) {
		case 0:
			delete(out, key)
		case 1:
			delete(out, key)
			out[strings.ToUpper(key)] = v[key]
		case 2:
			out[key] = nil
		default:
			out[key] = changed(random, v[key])
		}
	}
	return out
}

func value(random *rand.Rand) any {
	values := []any{
		nil, true, false, 0, 1, -1, 5, 6, -129, 128, 1.5, 0.5, 0.3, 65536, "", "a", "b", "x", "y", "abcd", "abcde", "äöü", "A", "5", "-7", "007", "1.5",
		"YQ==", "Y", "2026-01-02T03:04:05Z", "::1", "10.0.0.1", "shade-1", []any{}, []any{"a", "a"}, []any{1, 2}, map[string]any{}, map[string]any{"k": 1},
		map[string]any{"name": "a", "up": nil}, map[string]any{"name": "A"}, []any{nil}, map[string]any{"k": nil},
	}
	return values[random.IntN(len(values))]
}
