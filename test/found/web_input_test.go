package found

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"

	"github.com/enoki-go/enoki/web"
	"github.com/enoki-go/enoki/websocket"
)

// askHTTP sends a request with JSON and returns the answer's status and body.
func askHTTP(h http.Handler, method, target, body string, header ...string) (int, string) {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

// takesJSON returns a route that answers with what its handler got.
func takesJSON[T any](path string) web.Route {
	type input struct{ Body T }
	type output struct{ Body string }
	return web.Post(path, func(_ context.Context, in *input) (*output, error) { return &output{fmt.Sprintf("%+v", in.Body)}, nil })
}

type webAccount struct {
	Role  string `json:"role" enum:"user,guest"`
	Age   int    `json:"age" minimum:"0" maximum:"150"`
	Alias string `json:"alias,omitempty" maxLength:"5" format:"hostname"`
}

type openWebAccount struct {
	_ struct{} `json:"-" additionalProperties:"true"`
	webAccount
}

func TestKeysOfAnotherCaseAndDuplicateKeys(t *testing.T) {
	h := web.NewHandler(nil, takesJSON[webAccount]("/one"), takesJSON[[]webAccount]("/many"), takesJSON[[1]webAccount]("/array"), takesJSON[map[string]webAccount]("/map"),
		takesJSON[struct{ Inner *webAccount }]("/nested"), takesJSON[openWebAccount]("/open"), takesJSON[any]("/any"))
	for _, around := range []struct{ path, before, after string }{
		{"/one", "", ""}, {"/many", "[", "]"}, {"/array", "[", "]"}, {"/map", `{"k":`, "}"}, {"/nested", `{"Inner":`, "}"},
	} {
		for _, body := range []string{
			`{"role":"user","age":1,"Role":"admin"}`, `{"role":"user","age":1,"AGE":-5}`, `{"role":"user","age":1,"aliaſ":"too-long"}`,
			`{"role":"user","role":"admin","age":1}`, `{"role":"admin","role":"user","age":1}`, `{"role":"user","age":1,"r\u006fle":"admin"}`,
			`{"Role":"user","Age":1}`,
		} {
			if code, got := askHTTP(h, "POST", around.path, around.before+body+around.after); code != 400 {
				t.Errorf("%s %s: %d %s, want 400", around.path, body, code, got)
			}
		}
		if code, got := askHTTP(h, "POST", around.path, around.before+`{"role":"user","age":1}`+around.after); code != 200 {
			t.Errorf("%s: %d %s, want 200", around.path, code, got)
		}
	}
	// Where other keys may come, one in another case is another one.
	code, got := askHTTP(h, "POST", "/open", `{"role":"user","age":1,"Role":"admin","AGE":-5}`)
	if code != 200 || !strings.Contains(got, "Role:user Age:1 ") {
		t.Errorf("%d %s, want 200 and what was checked", code, got)
	}
	for _, body := range []string{`{"a":1,"a":2}`, `[{"a":{"b":1,"b":2}}]`} {
		if code, got := askHTTP(h, "POST", "/any", body); code != 400 {
			t.Errorf("%s: %d %s, want 400", body, code, got)
		}
	}
}

func TestDefaultKeepsAnExplicitZero(t *testing.T) {
	type part struct {
		Limit int `json:"limit" default:"5"`
	}
	type settings struct {
		Notify bool    `json:"notify" default:"true"`
		Limit  int     `json:"limit,omitempty" default:"5"`
		Note   string  `json:"note,omitempty" default:"none"`
		Share  *int    `json:"-"`
		Parts  []part  `json:"parts,omitempty"`
		Rate   float64 `json:"rate,omitzero" default:"0.5"`
	}
	h := web.NewHandler(nil, takesJSON[settings]("/s"), web.Get("/q", func(_ context.Context, in *struct {
		Limit int     `query:"limit" default:"5"`
		Note  *string `query:"note" default:"none"`
	}) (*struct{ Body string }, error) {
		return &struct{ Body string }{fmt.Sprint(in.Limit, " ", *in.Note)}, nil
	}))
	for body, want := range map[string]string{
		`{"notify":false,"limit":0,"note":"","parts":[{"limit":0}],"rate":0}`: `{Notify:false Limit:0 Note: Share:\u003cnil\u003e Parts:[{Limit:0}] Rate:0}`,
		`{"parts":[{},{"limit":1}]}`:                                          `{Notify:true Limit:5 Note:none Share:\u003cnil\u003e Parts:[{Limit:5} {Limit:1}] Rate:0.5}`,
		`{"limit":null}`:                                                      `{Notify:true Limit:5 Note:none Share:\u003cnil\u003e Parts:[] Rate:0.5}`,
	} {
		want = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(want)
		if code, got := askHTTP(h, "POST", "/s", body); code != 200 || got != `"`+want+`"` {
			t.Errorf("%s: %d %s, want %s", body, code, got, want)
		}
	}
	for target, want := range map[string]string{"/q": `"5 none"`, "/q?limit=0&note=": `"0 "`} {
		if code, got := askHTTP(h, "GET", target, ""); code != 200 || got != want {
			t.Errorf("%s: %d %s, want %s", target, code, got, want)
		}
	}
}

// mailText is a text with an @ in it.
type mailText string

func (m *mailText) UnmarshalText(text []byte) error {
	if !strings.Contains(string(text), "@") {
		return fmt.Errorf("%s has no @", text)
	}
	*m = mailText(text)
	return nil
}

func TestParametersAreWhatWasSent(t *testing.T) {
	type input struct {
		N     int8          `path:"n"`
		Port  uint16        `query:"port"`
		F     float64       `query:"f" minimum:"0" maximum:"10"`
		F32   float32       `query:"f32"`
		L     []string      `query:"l"`
		X     []string      `query:"x,explode"`
		I     []int8        `query:"i" maxItems:"3"`
		B     []bool        `query:"b"`
		T     []time.Time   `query:"t"`
		D     time.Duration `query:"d"`
		At    time.Time     `query:"at"`
		E     mailText      `query:"e"`
		Es    []mailText    `query:"es"`
		P     *int          `query:"p" maximum:"5"`
		U     url.URL       `query:"u"`
		H     []string      `header:"X-L"`
		One   string        `header:"X-One"`
		C     int8          `cookie:"c"`
		Short string        `query:"short" maxLength:"3"`
	}
	h := web.NewHandler(nil, web.Get("/p/{n}", func(_ context.Context, in *input) (*struct{ Body string }, error) {
		p := "nil"
		if in.P != nil {
			p = fmt.Sprint(*in.P)
		}
		in.P = nil
		return &struct{ Body string }{fmt.Sprintf("%+v P=%s", *in, p)}, nil
	}))
	for _, c := range []struct{ target, want string }{
		{"/p/300", "400"}, {"/p/-129", "400"}, {"/p/1.5", "400"}, {"/p/0x10", "400"}, {"/p/127", "N:127"},
		{"/p/1?port=65536", "400"}, {"/p/1?port=-1", "400"}, {"/p/1?port=65535", "Port:65535"}, {"/p/1?port=", "400"},
		{"/p/1?f=NaN", "400"}, {"/p/1?f=Inf", "400"}, {"/p/1?f=0x1p3", "400"}, {"/p/1?f=1_0", "400"}, {"/p/1?f=11", "400"}, {"/p/1?f=1e1", "F:10 "},
		{"/p/1?f32=1e39", "400"}, {"/p/1?f32=1e38", "F32:1e+38"},
		{"/p/1?l=a&l=b", "L:[a b]"}, {"/p/1?l=a,b&l=c", "L:[a b c]"}, {"/p/1?x=a,b&x=c", "X:[a,b c]"}, {"/p/1?l=", "L:[]"},
		{"/p/1?i=1,2", "I:[1 2]"}, {"/p/1?i=1,300", "400"}, {"/p/1?i=1,2,3,4", "400"}, {"/p/1?b=true,false", "B:[true false]"}, {"/p/1?b=yes", "400"},
		{"/p/1?t=2026-01-02T03:04:05Z", "T:[2026-01-02"}, {"/p/1?t=x", "400"}, {"/p/1?at=2026-01-02T03:04:05%2B01:00", "At:2026-01-02"}, {"/p/1?at=2026", "400"},
		{"/p/1?d=1m30s", "D:1m30s"}, {"/p/1?d=90", "400"}, {"/p/1?e=nonsense", "400"}, {"/p/1?e=a@b", "E:a@b"}, {"/p/1?es=a@b,c@d", "Es:[a@b c@d]"}, {"/p/1?es=a@b,c", "400"},
		{"/p/1", "P=nil"}, {"/p/1?p=0", "P=0"}, {"/p/1?p=6", "400"}, {"/p/1?u=http://x/y", "Path:/y"},
		{"/p/1?port=1&port=2", "400"}, {"/p/1?short=a&short=b", "400"}, {"/p/1?short=abcd", "400"}, {"/p/1?short=%zz", "400"}, {"/p/1?short=a;port=1", "400"},
	} {
		if code, got := askHTTP(h, "GET", c.target, ""); c.want == "400" && code != 400 || c.want != "400" && (code != 200 || !strings.Contains(got, c.want)) {
			t.Errorf("%s: %d %s, want %s", c.target, code, got, c.want)
		}
	}
	for _, c := range []struct {
		header []string
		want   string
	}{
		{[]string{"X-L", "a, b", "X-L", "c"}, "H:[a b c]"}, {[]string{"X-One", "a", "X-One", "b"}, "400"},
		{[]string{"Cookie", "c=127"}, "C:127"}, {[]string{"Cookie", "c=128"}, "400"}, {[]string{"Cookie", "c=1; c=2"}, "400"},
	} {
		if code, got := askHTTP(h, "GET", "/p/1", "", c.header...); c.want == "400" && code != 400 || c.want != "400" && (code != 200 || !strings.Contains(got, c.want)) {
			t.Errorf("%v: %d %s, want %s", c.header, code, got, c.want)
		}
	}
}

func TestNullForARequiredList(t *testing.T) {
	type body struct {
		Tags  []string       `json:"tags"`
		Table map[string]int `json:"table"`
		Raw   []byte         `json:"raw"`
		Maybe *string        `json:"maybe"`
		Inner *webAccount    `json:"inner"`
		Other []string       `json:"other,omitempty"`
	}
	h := web.NewHandler(nil, takesJSON[body]("/x"))
	const whole = `{"tags":[],"table":{},"raw":"","maybe":null,"inner":null,"other":null}`
	if code, got := askHTTP(h, "POST", "/x", whole); code != 200 {
		t.Errorf("%s: %d %s", whole, code, got)
	}
	for _, part := range []string{`"tags":[]`, `"table":{}`, `"raw":""`} {
		name, _, _ := strings.Cut(part, ":")
		body := strings.Replace(whole, part, name+":null", 1)
		if code, got := askHTTP(h, "POST", "/x", body); code != 400 || !strings.Contains(got, strings.Trim(name, `"`)) {
			t.Errorf("%s: %d %s, want 400", body, code, got)
		}
	}
}

func TestDeclarationsThatNeverWork(t *testing.T) {
	defer func() {
		told := fmt.Sprint(recover())
		for _, want := range []string{
			"GET /map can't be served: field Q: a query parameter can't be a map[string]string",
			"GET /struct can't be served", "GET /any can't be served", "GET /chan can't be served: field Body.C: is a chan int",
		} {
			if !strings.Contains(told, want) {
				t.Errorf("not told of %q: %s", want, told)
			}
		}
	}()
	web.NewHandler(nil, takesQuery[map[string]string]("/map"), takesQuery[struct{ A int }]("/struct"), takesQuery[any]("/any"),
		web.Get("/chan", func(context.Context, *struct{}) (*struct{ Body struct{ C chan int } }, error) { return nil, nil }))
}

func takesQuery[T any](path string) web.Route {
	return web.Get(path, func(_ context.Context, in *struct {
		Q T `query:"q"`
	}) (*struct{}, error) {
		return nil, nil
	})
}

func TestOneMistakeIsNotAnsweredByMany(t *testing.T) {
	h := web.NewHandler(nil, takesJSON[[]int]("/x"))
	body := "[" + strings.Repeat(`"",`, 20000) + `""]`
	if code, got := askHTTP(h, "POST", "/x", body); code != 400 || len(got) > 4096 {
		t.Errorf("%d with %d bytes, want 400 and a few", code, len(got))
	}
}

func TestAnswersAreWhatTheDocumentSays(t *testing.T) {
	type item struct {
		ID int `json:"id"`
	}
	type status struct {
		Status int
		Body   item
	}
	type dated struct {
		When time.Time `header:"Last-Modified"`
		Body map[string][]item
	}
	type lists struct {
		Tags []string          `json:"tags"`
		In   map[string]string `json:"in"`
		Deep []lists           `json:"deep"`
	}
	h := web.NewHandler(nil,
		web.Get("/status", func(context.Context, *struct{}) (*status, error) { return &status{}, nil }),
		web.Get("/teapot", func(context.Context, *struct{}) (*status, error) { return &status{Status: 418}, nil }),
		web.Get("/date", func(context.Context, *struct{}) (*dated, error) {
			return &dated{When: time.Date(2026, 1, 2, 12, 0, 0, 0, time.FixedZone("CET", 3600))}, nil
		}),
		web.Get("/none", func(context.Context, *struct{}) (*status, error) { return nil, nil }),
		web.Get("/lists", func(context.Context, *struct{}) (*struct{ Body lists }, error) {
			return &struct{ Body lists }{lists{Deep: []lists{{}}}}, nil
		}),
	)
	for target, want := range map[string]string{
		"/status": `200 {"id":0}`, "/date": "200 {}", "/lists": `200 {"tags":[],"in":{},"deep":[{"tags":[],"in":{},"deep":[]}]}`,
	} {
		if code, got := askHTTP(h, "GET", target, ""); fmt.Sprint(code, " ", got) != want {
			t.Errorf("%s: %d %s, want %s", target, code, got, want)
		}
	}
	for _, target := range []string{"/none", "/teapot"} {
		if code, got := askHTTP(h, "GET", target, ""); code != 500 || !strings.Contains(got, "internal error") {
			t.Errorf("%s: %d %s, want 500", target, code, got)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/date", nil))
	if got := w.Header().Get("Last-Modified"); got != "Fri, 02 Jan 2026 11:00:00 GMT" {
		t.Errorf("Last-Modified: %s", got)
	}
}

func TestBodiesThatAreNotReadAreRefused(t *testing.T) {
	h := web.NewHandler(nil, takesJSON[any]("/x"))
	for _, c := range []struct {
		header []string
		code   int
	}{
		{[]string{"Content-Type", "application/json; charset=utf-16"}, 415}, {[]string{"Content-Type", "application/json; charset=UTF-8"}, 200},
		{[]string{"Content-Encoding", "bogus"}, 415}, {[]string{"Content-Encoding", "gzip"}, 415}, {[]string{"Content-Encoding", "identity"}, 200},
	} {
		r := httptest.NewRequest("POST", "/x", strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(c.header[0], c.header[1])
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.code {
			t.Errorf("%v: %d %s, want %d", c.header, w.Code, w.Body, c.code)
		}
	}
}

func TestDepthOfJSONIsBounded(t *testing.T) {
	h := web.NewHandler(nil, takesJSON[any]("/x"))
	for depth, want := range map[int]int{100: 200, 101: 400, 100000: 400} {
		code, got := askHTTP(h, "POST", "/x", strings.Repeat("[", depth)+strings.Repeat("]", depth))
		if code != want || want == 400 && !strings.Contains(got, "more than 100 deep") {
			t.Errorf("%d deep: %d %.200s, want %d", depth, code, got, want)
		}
	}
}

// A request with both lengths ends its connection, so that what comes after it
// is nobody's request.
func TestSmuggledRequestIsNotAnswered(t *testing.T) {
	server := httptest.NewServer(web.NewHandler(nil, takesJSON[any]("/x"), takesQuery[int]("/secret")))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"2\r\n{}\r\n0\r\n\r\nGET /secret HTTP/1.1\r\nHost: x\r\n\r\n")
	all, err := io.ReadAll(conn)
	if got := string(all); err != nil || strings.Count(got, "HTTP/1.1 ") != 1 || !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("%v, answered:\n%s\nwant one answer and the end", err, got)
	}
}

func TestWebSocketArgumentsComeOnce(t *testing.T) {
	route := web.WebSocket("", websocket.NewHub(nil), web.SocketMethod("double",
		func(_ context.Context, _ string, of map[string]int) (int, error) { return 2 * of["n"], nil }, "of"))
	server := httptest.NewServer(web.NewHandler(nil, route))
	defer server.Close()
	conn, _, err := coder.Dial(t.Context(), server.URL+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, _, err := conn.Read(ctx); err != nil { // that it is connected
		t.Fatal(err)
	}
	for _, c := range []struct{ call, want string }{
		{`{"method":"double","data":{"of":{"n":1}}}`, `"data":2`},
		{`{"method":"double","data":{"of":{"n":1},"of":{"n":2}}}`, "IncorrectSignature"},
		{`{"method":"double","data":{"of":{"n":1,"n":2}}}`, "IncorrectSignature"},
		{`{"method":"double","data":{"of":{"n":1}},"data":{"of":{"n":2}}}`, "MalformedRequest"},
	} {
		if err := conn.Write(ctx, coder.MessageText, []byte(c.call)); err != nil {
			t.Fatal(err)
		}
		if _, answer, err := conn.Read(ctx); err != nil || !strings.Contains(string(answer), c.want) {
			t.Errorf("%s: %s, %v, want %s", c.call, answer, err, c.want)
		}
	}
	if err := conn.Write(ctx, coder.MessageText, []byte("{\"method\":\"\xff\"}")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.Read(ctx); coder.CloseStatus(err) != coder.StatusInvalidFramePayloadData {
		t.Errorf("after bad UTF-8: %v, want the close code 1007", err)
	}
}
