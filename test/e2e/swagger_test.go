package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/web"
)

// form is the text of a request's body, under "body", or the values of its
// parameters. What is empty stays as the page has filled it in.
type form map[string]string

// execute opens an operation on the page of the API, fills in the form,
// presses "Execute" and returns the status and the body that the page shows.
func execute(t *testing.T, p *page, method, path string, fill form) (status, body string) {
	t.Helper()
	const script = `
const [method, path, fill] = a;
// The page replaces the element of an operation when it has loaded the rest
// of it, so it is looked for each time.
const find = (selector) => [...document.querySelectorAll('.opblock-' + method)].find(
	(b) => b.querySelector('[data-path="' + path + '"]'))?.querySelector(selector);
const press = async (selector) => (await appears(() => find(selector))).click();

if (!find('.opblock-body')) await press('.opblock-summary-control');
for (const [name, given] of Object.entries(fill ?? {})) {
	const selector = name === 'body' ? 'textarea.body-param__text' : 'tr[data-param-name="' + name + '"] input';
	const field = await appears(() => find(selector));
	// The page takes up what it shows a moment after it shows it, unless it
	// is touched.
	const text = given || await appears(() => find(selector).value && find(selector).value + ' ');
	// React listens to its own setter, so the element's one is called.
	Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), 'value').set.call(field, text);
	field.dispatchEvent(new Event('input', {bubbles: true}));
	field.dispatchEvent(new FocusEvent('focusout', {bubbles: true})); // or it waits for more
	await appears(() => find(selector).value === text);
}
if (find('.btn-clear')) {
	await press('.btn-clear');
	await appears(() => !find('.live-responses-table'));
}
await press('.execute');
const answer = await appears(() => {
	const status = find('.live-responses-table tr.response .response-col_status')?.firstChild?.textContent;
	const code = find('.live-responses-table tr.response .highlight-code code');
	return status && code && {status, body: code.textContent};
});
return JSON.stringify(answer);`
	var answer struct{ Status, Body string }
	decode(t, p.run(t, script, method, path, fill), &answer)
	return answer.Status, answer.Body
}

// TestAPIPage tells the story on the page of the API, in a browser.
func TestAPIPage(t *testing.T) {
	s := startOne(t)
	p := openPage(t, s.url+"/apidocs/")
	for i, user := range []string{
		`{"email": "anna@example.com", "name": "Anna", "language": "de", "country": "AT"}`,
		`{"email": "bob@example.com", "name": "Bob", "language": "en", "country": "US"}`,
	} {
		wantShown(t, p, "post", "/api/v1/register", form{"body": user}, fmt.Sprintf(`{"code":0,"message":"","data":{"u_id":"700000%d"}}`, i))
	}
	wantShown(t, p, "post", "/api/v1/register", form{"body": `{"email": "bob@example.com"}`},
		`{"code":10001,"message":"already registered.","data":{"u_id":"7000001"}}`)
	wantShown(t, p, "post", "/api/v1/comment",
		form{"body": `{"u_id": "7000001", "content": "Nice!", "article_id": 7, "article_u_id": 7000000, "timestamp": 5}`},
		`{"code":0,"message":"","data":{"comment_id":1}}`)
	wantShown(t, p, "get", "/api/v1/articles/{article_id}/comments", form{"article_id": "7"},
		`{"code":0,"message":"","data":{"article_id":7,"comments":[`+
			`{"comment_id":1,"parent_comment_id":0,"u_id":"7000001","content":"Nice!","timestamp":5,"replies":[]}]}}`)
	awaitTexts(t, s, "7000000", "Neuer Kommentar zu Ihrem Artikel: „Nice!“")
	status, body := execute(t, p, "get", "/api/v1/users/{u_id}/notifications", form{"u_id": "7000000"})
	if status != "200" || !strings.Contains(body, "Neuer Kommentar zu Ihrem Artikel: „Nice!“") {
		t.Errorf("notifications: %s %s", status, body)
	}
	status, body = execute(t, p, "post", "/api/v1/register", form{"body": `{"timestamp": "now"}`})
	if status != "400" || !strings.Contains(body, "body.timestamp") {
		t.Errorf("a wrong type: %s %s", status, body)
	}
}

// TestAPIPageExamples presses "Execute" with what the page fills in by itself.
func TestAPIPageExamples(t *testing.T) {
	s := startOne(t)
	p := openPage(t, s.url+"/apidocs/")
	wantShown(t, p, "post", "/api/v1/register", form{"body": ""}, `{"code":0,"message":"","data":{"u_id":"7000000"}}`)
	mustRegister(t, s, object{"email": "bob@example.com"})
	wantShown(t, p, "post", "/api/v1/comment", form{"body": ""}, `{"code":0,"message":"","data":{"comment_id":1}}`)
	awaitTexts(t, s, "7000000", "New comment on your article: ‘Well written!’")
}

// TestAPIPageAuthorizes presses "Authorize", gives a token, and then calls what
// needs one.
func TestAPIPageAuthorizes(t *testing.T) {
	authenticate := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer abc" {
				r = r.WithContext(enoki.WithCaller(r.Context(), "anna"))
			}
			next.ServeHTTP(w, r)
		})
	}
	hello := func(ctx context.Context, _ *struct{}) (*struct{ Body string }, error) {
		return &struct{ Body string }{"hello " + enoki.CallerOf(ctx).Name}, nil
	}
	server := httptest.NewServer(web.NewHandler(&web.Options{
		Middleware: []func(http.Handler) http.Handler{authenticate}, Security: []web.Security{web.Bearer("token", "JWT")},
	}, web.Get("/hello", hello)))
	defer server.Close()
	p := openPage(t, server.URL+"/apidocs/")
	if status, body := execute(t, p, "get", "/hello", nil); status != "401" || !strings.Contains(body, "unauthenticated") {
		t.Errorf("before: %s %s", status, body)
	}
	p.run(t, `
(await appears(() => document.querySelector('.auth-wrapper .btn.authorize'))).click();
const field = await appears(() => document.querySelector('.auth-container input'));
Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), 'value').set.call(field, a[0]);
field.dispatchEvent(new Event('input', {bubbles: true}));
(await appears(() => document.querySelector('.auth-btn-wrapper .btn.authorize'))).click();
(await appears(() => document.querySelector('.auth-btn-wrapper .btn-done'))).click();
return '';`, "abc")
	wantShown(t, p, "get", "/hello", nil, `"hello anna"`)
}

// wantShown executes an operation and compares what the page shows.
func wantShown(t *testing.T, p *page, method, path string, fill form, want string) {
	t.Helper()
	status, body := execute(t, p, method, path, fill)
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(body)); err != nil {
		t.Fatalf("%s %s: the page shows %s: %v", method, path, body, err)
	}
	if status != "200" || compact.String() != want {
		t.Errorf("%s %s: the page shows %s %s; want 200 %s", method, path, status, compact.String(), want)
	}
}
