package web_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	coder "github.com/coder/websocket"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/web"
	"github.com/enoki-go/enoki/websocket"
)

// writable are routes that change something.
func writable() []web.Route {
	return []web.Route{
		web.Post("/typed", length),
		web.Handle("POST /handle", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})),
		web.Plain("GET,POST", "/plain", func(context.Context, *http.Request) (*web.Text, error) { return &web.Text{}, nil }),
		web.Post("/typed/{any}", func(context.Context, *struct {
			Any string `path:"any"`
		}) (*nothing, error) {
			return nil, nil
		}, web.UnsafeAnyOrigin()),
		web.Post("/typed/guarded", length),
	}
}

// A page of another origin can't change anything, whatever it sends.
func TestPagesOfOtherOrigins(t *testing.T) {
	h := web.NewHandler(&web.Options{TrustedOrigins: []string{"https://friend.example", "https://*.friends.example"}}, writable()...)
	for _, test := range []struct {
		what, target string
		header       []string
		status       int
	}{
		{"no browser", "/typed", nil, 200},
		{"own page", "/typed", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://example.com"}, 200},
		{"own page of an old browser", "/typed", []string{"Origin", "http://example.com"}, 200},
		{"typed in by hand", "/typed", []string{"Sec-Fetch-Site", "none"}, 200},
		{"foreign page", "/typed", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		{"sibling", "/typed", []string{"Sec-Fetch-Site", "same-site", "Origin", "https://www.example.com"}, 403},
		{"foreign page of an old browser", "/typed", []string{"Origin", "https://evil.example"}, 403},
		{"sandboxed page", "/typed", []string{"Sec-Fetch-Site", "cross-site", "Origin", "null"}, 403},
		{"foreign page", "/plain", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"foreign page", "/handle", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"trusted page", "/typed", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://friend.example"}, 200},
		{"trusted page below", "/typed", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://a.b.friends.example"}, 200},
		{"like a trusted page", "/typed", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://friend.example.evil"}, 403},
		{"like a trusted page", "/typed", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evilfriends.example"}, 403},
		{"trusted page without TLS", "/typed", []string{"Sec-Fetch-Site", "cross-site", "Origin", "http://friend.example"}, 403},
		{"route for every origin", "/typed/x", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 204},
		{"its neighbour", "/typed/guarded", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
	} {
		res, body := exchange(t, h, "POST", test.target, `"x"`, test.header...)
		if res.StatusCode != test.status {
			t.Errorf("%s to %s: %d %s, want %d", test.what, test.target, res.StatusCode, body, test.status)
		}
		if test.status == 403 {
			if p := wantProblem(t, res, body, 403); p.Code != enoki.PermissionDenied {
				t.Errorf("%s: code %s", test.what, p.Code)
			}
		}
	}
	if res, _ := exchange(t, h, "GET", "/plain", "", "Sec-Fetch-Site", "cross-site"); res.StatusCode != 200 {
		t.Errorf("a link from elsewhere: %d", res.StatusCode)
	}
	open := web.NewHandler(&web.Options{UnsafeAnyOrigin: true}, writable()...)
	if res, _ := exchange(t, open, "POST", "/typed", `"x"`, "Sec-Fetch-Site", "cross-site"); res.StatusCode != 200 {
		t.Errorf("a service for every origin: %d", res.StatusCode)
	}
}

func TestTrustedOriginMayOpenSocket(t *testing.T) {
	server := httptest.NewServer(web.NewHandler(&web.Options{
		TrustedOrigins: []string{"https://friend.example"}, CORS: &web.CORS{Origins: []string{"https://*.reader.example"}},
	}, chat(websocket.NewHub(&websocket.Options{Origins: []string{"hub.example"}}))))
	defer server.Close()
	for origin, want := range map[string]bool{
		"": true, "https://friend.example": true, "https://a.reader.example": true, "https://hub.example": true,
		"https://evil.example": false, "http://friend.example": false,
	} {
		o := &coder.DialOptions{HTTPHeader: http.Header{}}
		if origin != "" {
			o.HTTPHeader.Set("Origin", origin)
		}
		conn, res, err := coder.Dial(t.Context(), server.URL+"/ws", o)
		if (err == nil) != want || !want && res.StatusCode != 403 {
			t.Errorf("%q: %v, %v", origin, res, err)
		}
		if err == nil {
			conn.CloseNow()
		}
	}
}

// A service on a loopback address has the names of this machine only: another
// name that leads here is that of a page which wants to be taken for us.
func TestHostOnLoopback(t *testing.T) {
	hub := websocket.NewHub(nil)
	ask := func(t *testing.T, r *running, path, host string) (*http.Response, string) {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), "GET", r.url(path), nil)
		req.Host = host
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(body)
	}
	routes := append(whoami(), chat(hub))
	usual := run(t, web.Options{}, enoki.Options{}, routes...)
	for _, host := range []string{"localhost", "127.0.0.1:80", "[::1]", "app.localhost:1"} {
		if res, body := ask(t, usual, "/plain", host); res.StatusCode != 200 {
			t.Errorf("%s: %d %s", host, res.StatusCode, body)
		}
	}
	for _, path := range []string{"/plain", "/ws", "/apidocs/", "/openapi.json", "/nowhere"} {
		res, body := ask(t, usual, path, "evil.example:8000")
		if p := wantProblem(t, res, body, http.StatusMisdirectedRequest); !strings.Contains(p.Detail, "evil.example") || !strings.Contains(p.Detail, "--http-hosts") {
			t.Errorf("%s: %q", path, p.Detail)
		}
	}
	_, res, err := coder.Dial(t.Context(), usual.url("/ws"), &coder.DialOptions{Host: "evil.example", HTTPHeader: http.Header{"Origin": {"http://evil.example"}}})
	if err == nil || res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a rebound page has a socket: %v, %v", res, err)
	}
	named := run(t, web.Options{Hosts: []string{"api.example.com"}}, enoki.Options{HTTPHosts: []string{"other.example"}}, whoami()...)
	byProcess := run(t, web.Options{}, enoki.Options{HTTPHosts: []string{"*.example.com"}}, whoami()...)
	all := run(t, web.Options{Hosts: []string{"*"}}, enoki.Options{}, whoami()...)
	for _, test := range []struct {
		r      *running
		host   string
		status int
	}{
		{named, "api.example.com", 200}, {named, "other.example", 421}, {named, "localhost", 200},
		{byProcess, "api.example.com:443", 200}, {byProcess, "example.com", 421}, {all, "evil.example", 200},
	} {
		if res, body := ask(t, test.r, "/plain", test.host); res.StatusCode != test.status {
			t.Errorf("%s: %d %s, want %d", test.host, res.StatusCode, body, test.status)
		}
	}
}

func TestGuardMistakes(t *testing.T) {
	for want, o := range map[string]web.Options{
		`"friend.example" is no origin`:             {TrustedOrigins: []string{"friend.example"}},
		`"https://friend.example/" is no origin`:    {TrustedOrigins: []string{"https://friend.example/"}},
		`"https://*" is no origin`:                  {TrustedOrigins: []string{"https://*"}},
		`"https://a*.example" is no origin`:         {TrustedOrigins: []string{"https://a*.example"}},
		`"null" is no origin`:                       {CORS: &web.CORS{Origins: []string{"null"}}},
		"CORS has no Origins":                       {CORS: &web.CORS{}},
		"would hand every page of the web the data": {CORS: &web.CORS{Origins: []string{"*"}, Credentials: true}},
		"names headers one by one":                  {CORS: &web.CORS{Origins: []string{"*"}, Headers: []string{"*"}}},
		`security "a b"`:                            {Security: []web.Security{web.Bearer("a b", "")}},
		`security "key": an API key`:                {Security: []web.Security{web.APIKey("key", "body", "k")}},
		`"login" is no URL`:                         {Security: []web.Security{web.OpenID("id", "login")}},
		"has no TokenURL":                           {Security: []web.Security{web.OAuth2("o", web.OAuth2Flow{})}},
		`two kinds of security are called "x"`:      {Security: []web.Security{web.Bearer("x", ""), web.Basic("x")}},
		"a Security is empty":                       {Security: []web.Security{{}}},
	} {
		err := enoki.NewService("web", web.Serve(&o)).Check()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
