package e2e

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// strangerPage serves an empty page on an origin that is not the site's.
func strangerPage(t *testing.T) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>a stranger's page</title>"))
	}))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "http://localhost:" + port + "/" // another site to the browser than 127.0.0.1
}

// What a stranger's page can have a browser send registers nobody: neither text
// without a Content-Type nor a beacon, which a browser sends without asking.
func TestStrangersPageRegistersNobody(t *testing.T) {
	s := startOne(t)
	p := openPage(t, strangerPage(t))
	sent := p.run(t, `
const [register, socket] = a;
const bytes = new TextEncoder().encode(JSON.stringify({email: 'csrf@evil.example', name: 'Evil'}));
const tries = [
	() => fetch(register, {method: 'POST', mode: 'no-cors', body: new Blob([bytes])}),
	() => fetch(register, {method: 'POST', mode: 'no-cors', body: bytes}),
	() => fetch(register, {method: 'POST', mode: 'no-cors', body: bytes, credentials: 'include', headers: {'Content-Type': 'text/plain'}}),
];
for (const one of tries) await one();
let asked = 'allowed';
try { await fetch(register, {method: 'POST', body: bytes, headers: {'Content-Type': 'application/json'}}); } catch { asked = 'refused'; }
const opened = await new Promise((done) => {
	const ws = new WebSocket(socket);
	ws.onopen = () => done('open');
	ws.onerror = () => done('closed');
});
return JSON.stringify([navigator.sendBeacon(register, new Blob([bytes])), asked, opened]);`,
		s.url+"/api/v1/register", "ws"+strings.TrimPrefix(s.url, "http")+"/ws")
	if sent != `[true,"refused","closed"]` {
		t.Errorf("the page was told %s", sent)
	}
	// The beacon is the fourth that was refused; nobody tells the page.
	deadline := time.Now().Add(time.Minute)
	for strings.Count(s.parts["comments"].text(), "status=403") < 4 && strings.Count(s.parts["comments"].text(), `"status":403`) < 4 {
		if time.Now().After(deadline) {
			t.Fatalf("the log has no four refusals:\n%s", s.parts["comments"].text())
		}
		time.Sleep(10 * time.Millisecond)
	}
	if id := mustRegister(t, s, object{"email": "first@example.com"}); id != "7000000" {
		t.Errorf("the first user has the id %s: others have registered", id)
	}
}

// A stranger's name that leads to this machine shows nothing of the site.
func TestReboundNameShowsNothing(t *testing.T) {
	s := startOne(t)
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	p := openPage(t, "http://"+reboundName+":"+u.Port()+"/openapi.json")
	if shown := p.run(t, `return document.body.innerText;`); !strings.Contains(shown, `"status":421`) || strings.Contains(shown, "openapi") {
		t.Errorf("the page shows %s", shown)
	}
}
