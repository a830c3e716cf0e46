package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/enoki-go/enoki/internal/testserver"
)

// page is a page in a headless Chromium, driven by the DevTools protocol. It
// belongs to one goroutine.
type page struct {
	conn    *websocket.Conn
	session string
	lastID  int
}

// browserNames are the names of Chromium's program.
var browserNames = []string{"chromium", "chromium-browser", "google-chrome"}

// reboundName is a stranger's name that leads to this machine in the browsers
// of these tests.
const reboundName = "rebound.example"

// openPage starts a browser that lives until the test ends and opens url.
func openPage(t *testing.T, url string) *page {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	browser, address := startBrowser(t)
	conn, _, err := websocket.Dial(ctx, address, nil)
	if err != nil {
		t.Fatalf("dial the browser: %v", err)
	}
	conn.SetReadLimit(16 << 20)
	p := &page{conn: conn}
	t.Cleanup(func() { p.close(browser) })
	if err := p.open(ctx, url); err != nil {
		t.Fatalf("open %s: %v", url, err)
	}
	return p
}

// close asks the browser to end, with all its processes, and waits for it. One
// that does not is killed.
func (p *page) close(browser *exec.Cmd) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p.session = ""
	_ = p.do(ctx, "Browser.close", nil, nil) // it may have ended
	ended := context.AfterFunc(ctx, func() { _ = browser.Process.Kill() })
	defer ended()
	_ = p.conn.CloseNow()
	_ = browser.Wait() // its exit code says nothing about the test
}

// startBrowser starts a browser and returns the address of its DevTools.
func startBrowser(t *testing.T) (browser *exec.Cmd, address string) {
	t.Helper()
	profile, err := os.MkdirTemp("", "enoki-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: what a dying browser still writes there is no failure.
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	cmd := exec.Command(browserProgram(t),
		"--headless", "--remote-debugging-port=0", "--user-data-dir="+profile,
		"--no-sandbox", // Chromium does not run as root otherwise, as CI does
		"--host-resolver-rules=MAP "+reboundName+" 127.0.0.1",
		"--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if _, address, found := strings.Cut(lines.Text(), "DevTools listening on "); found {
			go func() { _, _ = io.Copy(io.Discard, stderr) }() // ends with the browser
			return cmd, address
		}
	}
	t.Fatalf("the browser ended before it listened: %v", cmd.Wait())
	return nil, ""
}

func browserProgram(t *testing.T) string {
	t.Helper()
	for _, name := range browserNames {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	testserver.Skip(t, fmt.Sprintf("none of %v is installed (on Debian: apt-get install chromium)", browserNames))
	return ""
}

// open opens a tab and returns when the page in it has loaded.
func (p *page) open(ctx context.Context, url string) error {
	var tab struct{ TargetID string }
	if err := p.do(ctx, "Target.createTarget", map[string]any{"url": "about:blank"}, &tab); err != nil {
		return err
	}
	var attached struct{ SessionID string }
	err := p.do(ctx, "Target.attachToTarget", map[string]any{"targetId": tab.TargetID, "flatten": true}, &attached)
	if err != nil {
		return err
	}
	p.session = attached.SessionID
	if err := p.do(ctx, "Page.enable", nil, nil); err != nil {
		return err
	}
	var navigated struct{ ErrorText string }
	if err := p.do(ctx, "Page.navigate", map[string]any{"url": url}, &navigated); err != nil {
		return err
	}
	if navigated.ErrorText != "" {
		return errors.New(navigated.ErrorText)
	}
	return p.event(ctx, "Page.loadEventFired")
}

// message is a message of the DevTools protocol, in either direction.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  any             `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *failure        `json:"error,omitempty"`
}

type failure struct{ Message string }

// do sends a command and reads its result, past events.
func (p *page) do(ctx context.Context, method string, params, result any) error {
	p.lastID++
	if params == nil {
		params = struct{}{}
	}
	err := wsjson.Write(ctx, p.conn, message{ID: p.lastID, Session: p.session, Method: method, Params: params})
	if err != nil {
		return err
	}
	for {
		var m message
		if err := wsjson.Read(ctx, p.conn, &m); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		switch {
		case m.ID != p.lastID:
		case m.Error != nil:
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		case result == nil:
			return nil
		default:
			return json.Unmarshal(m.Result, result)
		}
	}
}

// event returns when the event has happened. The page may not be loaded before
// the command that loads it was answered: DevTools keeps that order.
func (p *page) event(ctx context.Context, method string) error {
	for {
		var m message
		if err := wsjson.Read(ctx, p.conn, &m); err != nil {
			return fmt.Errorf("wait for %s: %w", method, err)
		}
		if m.Method == method {
			return nil
		}
	}
}

// run runs the body of an async function in the page, with arguments a, and
// returns what it returns. It fails the test when the function throws, or does
// not end in time.
func (p *page) run(t *testing.T, body string, a ...any) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args, err := json.Marshal(append([]any{}, a...)) // a list also of none
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Exception struct{ Description string }
		}
	}
	err = p.do(ctx, "Runtime.evaluate", map[string]any{
		"expression":    "(async (...a) => {" + appears + body + "})(..." + string(args) + ")",
		"awaitPromise":  true,
		"returnByValue": true,
	}, &out)
	if err != nil {
		p.picture(t)
		t.Fatalf("in the page: %v", err)
	}
	if out.ExceptionDetails != nil {
		p.picture(t)
		t.Fatalf("in the page: %s", out.ExceptionDetails.Exception.Description)
	}
	text, isText := out.Result.Value.(string)
	if !isText {
		t.Fatalf("in the page: the function returned %v, want text", out.Result.Value)
	}
	return text
}

// appears is a function for the bodies of run: it waits, change by change of
// the page, until find returns something that is true, for 30 s at most. It
// then lets the page draw itself and looks again: a click in the middle of
// what React is doing would get lost.
const appears = `
const appears = (find) => new Promise((resolve, reject) => {
	const observer = new MutationObserver(() => look());
	const look = () => { if (find()) requestAnimationFrame(settle); };
	const settle = () => {
		const found = find();
		if (found) { observer.disconnect(); resolve(found); }
	};
	setTimeout(() => reject(new Error('did not appear: ' + find)), 30000);
	observer.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
	look();
});
`

// picture keeps a picture of a page that did not do as it should.
func (p *page) picture(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	var shot struct{ Data []byte }
	if err := p.do(ctx, "Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &shot); err != nil {
		t.Logf("no picture of the page: %v", err)
		return
	}
	file := filepath.Join(os.TempDir(), strings.ReplaceAll(t.Name(), "/", "-")+".png")
	if err := os.WriteFile(file, shot.Data, 0o600); err != nil {
		t.Logf("no picture of the page: %v", err)
		return
	}
	t.Logf("a picture of the page: %s", file)
}
