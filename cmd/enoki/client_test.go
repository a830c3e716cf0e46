package main

import (
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
)

// TestClientCommands calls, emits, listens and lists on every broker.
func TestClientCommands(t *testing.T) {
	t.Parallel()
	for name, startBroker := range brokers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := startBroker(t)
			serve(t, url)
			t.Run("services", func(t *testing.T) { testServices(t, url) })
			t.Run("call", func(t *testing.T) { testCall(t, url) })
			t.Run("call fails", func(t *testing.T) { testCallFails(t, url) })
			t.Run("emit and listen", func(t *testing.T) { testEmitAndListen(t, url) })
			t.Run("completion", func(t *testing.T) { testCompletion(t, url) })
		})
	}
}

func testServices(t *testing.T, url string) {
	var instances []broker.Instance
	out := must(t, "services", "register", "push", "--wait", "30s", "--json", "--broker", url)
	if err := json.Unmarshal([]byte(out), &instances); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(instances) != 2 || instances[0].Name != "push" || instances[1].Name != "register" {
		t.Fatalf("want push and register, got %s", out)
	}
	m := instances[0].Methods[0]
	if m.Name != "push" || !slices.Equal(m.Args, []string{"u_id", "content", "urgent?"}) {
		t.Errorf("the method is %+v", m)
	}
	if instances[0].ID == "" || instances[0].Host == "" {
		t.Errorf("no instance or host in %s", out)
	}

	table := must(t, "services", "--broker", url)
	for _, want := range []string{"SERVICE", "push(u_id, content, urgent?)", "check_registered(u_id)", "handles comments.posted", "emits comments.posted"} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is not in\n%s", want, table)
		}
	}

	_, stderr, code := run(t, "", "services", "nobody", "--wait", "1ms", "--broker", url)
	if code != 124 || !strings.Contains(stderr, "nobody did not come") {
		t.Errorf("waiting for nobody: %d %s", code, stderr)
	}
}

func testCall(t *testing.T, url string) {
	for _, c := range []struct {
		words []string
		stdin string
		want  string
	}{
		{words: []string{"register.check_registered", "u_id=7434029"}, want: `{"name":"Ada","country":"GB"}`},
		{words: []string{"register.check_registered", `u_id:="7434029"`}, want: `{"name":"Ada","country":"GB"}`},
		{words: []string{"register.check_registered", "u_id=1"}, want: `null`},
		{words: []string{"register.count"}, want: `9007199254740993`},
		{words: []string{"push.push", `["7434029","hi"]`}, want: `[true,"push success."]`},
		{words: []string{"push.push", `{"u_id":"1","content":"hi"}`}, want: `[false,"not registered."]`},
		{words: []string{"push.push", "u_id=7434029", "content=a=b [c]", "urgent:=true"}, want: `[true,"push success."]`},
		{words: []string{"push.push", "-"}, stdin: "[\"7434029\",\n\"hi\"]\n", want: `[true,"push success."]`},
	} {
		stdout, stderr, code := run(t, c.stdin, append([]string{"call", "--broker", url}, c.words...)...)
		if code != 0 || stderr != "" {
			t.Errorf("call %q ends with %d: %s", c.words, code, stderr)
		}
		if got := strings.TrimSpace(stdout); got != c.want {
			t.Errorf("call %q: got %s, want %s", c.words, got, c.want)
		}
	}
}

func testCallFails(t *testing.T, url string) {
	for _, c := range []struct {
		words []string
		code  int
		want  string // on stderr
	}{
		{words: []string{"registr.check_registered", "u_id=1"}, code: 4, want: "Did you mean register.check_registered?"},
		{words: []string{"register.check_register", "u_id=1"}, code: 4, want: "Did you mean register.check_registered?"},
		{words: []string{"register.check_registered", "u_id="}, code: 3, want: "u_id is empty"},
		{words: []string{"register.check_registered", "id=1"}, code: 3, want: "incorrect_signature"},
		{words: []string{"push.push", "u_id=1", "content=hi", "urgent=true"}, code: 3, want: "for JSON write urgent:=true"},
		{words: []string{"register"}, code: 2, want: "register.check_registered"},
		{words: []string{"register.check_registered", "u_id:=x"}, code: 2, want: "for text write u_id=x"},
	} {
		stdout, stderr, code := run(t, "", append([]string{"call", "--broker", url}, c.words...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("call %q: want %d and %q, got %d and %q", c.words, c.code, c.want, code, stderr)
		}
	}
	_, stderr, _ := run(t, "", "call", "--json", "--broker", url, "register.check_registered", "u_id=")
	var failure struct{ Error jsonError }
	if err := json.Unmarshal([]byte(stderr), &failure); err != nil || failure.Error.Code != "invalid_argument" {
		t.Errorf("an error with --json is %s (%v)", stderr, err)
	}
}

func testEmitAndListen(t *testing.T, url string) {
	plain := start(t, nil, "listen", "comments.posted", "--count", "2", "--broker", url)
	asJSON := start(t, nil, "listen", "comments.posted", "--count", "2", "--broker", url, "--json")
	plain.stderr.await(t, "listening", 1)
	asJSON.stderr.await(t, "listening", 1)
	must(t, "emit", "comments.posted", "article_id:=12", "content=so on", "--broker", url)
	plain.stdout.await(t, "posted", 1)
	asJSON.stdout.await(t, "posted", 1)
	must(t, "emit", "comments.posted", `{"article_id": 13, "content": ""}`, "--broker", url)
	if plain.wait(t) != 0 || asJSON.wait(t) != 0 {
		t.Fatalf("listen fails: %s %s", plain.stderr, asJSON.stderr)
	}
	lines := strings.Split(strings.TrimSpace(plain.stdout.String()), "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[0], ` comments.posted {"article_id":12,"content":"so on"}`) {
		t.Errorf("listen prints %q", lines)
	}
	first, _, _ := strings.Cut(asJSON.stdout.String(), "\n")
	var h heard
	if err := json.Unmarshal([]byte(first), &h); err != nil || h.Source != "comments" || h.Event != "posted" || len(h.Context) == 0 {
		t.Errorf("listen --json prints %s (%v)", first, err)
	}

	later := start(t, nil, "listen", "comments.posted", "--count", "1", "--broker", url, "--json")
	later.stderr.await(t, "listening", 1)
	begun := time.Now()
	must(t, "emit", "comments.posted", "1", "--after", "1500ms", "--id", "order-17", "--subject", "orders/17", "--broker", url)
	if later.wait(t) != 0 {
		t.Fatalf("listen fails: %s", later.stderr)
	}
	var event struct {
		ID, Subject string
		Data        int
	}
	err := json.Unmarshal([]byte(later.stdout.String()), &h)
	if err := errors.Join(err, json.Unmarshal(h.Payload, &event)); err != nil || event.ID != "order-17" || event.Subject != "orders/17" || event.Data != 1 {
		t.Errorf("an event with options is %s (%v)", later.stdout, err)
	}
	if late := h.Time.Sub(begun); late < 1500*time.Millisecond {
		t.Errorf("an event that is due after 1.5 s came after %v", late)
	}
	for _, c := range []struct {
		flags []string
		code  int
		want  string
	}{
		{[]string{"--at", "tomorrow"}, 2, `--at "tomorrow" is no time`},
		{[]string{"--after", "1h", "--at", "2030-01-01"}, 2, "--after and --at both"},
		{[]string{"--after", "9000h"}, enoki.InvalidArgument.ExitCode(), "due in 375 days"},
		{[]string{"--id", ""}, enoki.InvalidArgument.ExitCode(), `message id ""`},
	} {
		_, stderr, code := run(t, "", append([]string{"emit", "comments.posted", "1", "--broker", url}, c.flags...)...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("emit %q: want %d and %q, got %d and %q", c.flags, c.code, c.want, code, stderr)
		}
	}
}

func testCompletion(t *testing.T, url string) {
	for _, c := range []struct {
		words []string
		want  string
	}{
		{words: []string{"call", "reg"}, want: "register.check_registered\t(u_id)\nregister.count\t()\n:4\n"},
		{words: []string{"call", "push.push", "u_id=1", ""}, want: "content=\nurgent:=\n:6\n"},
		{words: []string{"emit", ""}, want: "comments.posted\n:4\n"},
		{words: []string{"listen", "comments.posted", "co"}, want: "comments.posted\n:4\n"},
		{words: []string{"services", "p"}, want: "push\n:4\n"},
	} {
		words := append([]string{"__complete", "--broker", url}, c.words...)
		if got := must(t, words...); got != c.want {
			t.Errorf("completing %q: got %q, want %q", c.words, got, c.want)
		}
	}
}

func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if script := must(t, "completion", shell); !strings.Contains(script, "enoki") || !strings.Contains(script, "__complete") {
			t.Errorf("completion %s prints %.100q", shell, script)
		}
	}
}

func TestNoBroker(t *testing.T) {
	withoutBroker(t)
	for _, args := range [][]string{{"services"}, {"call", "a.b"}, {"emit", "a.b"}, {"listen", "a.b"}, {"dead"}, {"dead", "retry", "--all"}} {
		s := start(t, nil, args...)
		if code := s.wait(t); code != 7 || !strings.Contains(s.stderr.String(), "start one with `enoki broker`") {
			t.Errorf("%v without a broker ends with %d: %s", args, code, s.stderr)
		}
	}
	s := start(t, func(c *cli) { c.completing = 100 * time.Millisecond }, "__complete", "--broker", "nats://127.0.0.1:1", "call", "")
	if code := s.wait(t); code != 0 || s.stdout.String() != ":4\n" {
		t.Errorf("completion without a broker ends with %d and prints %q", code, s.stdout)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{args: []string{"serivces"}, want: "services"},
		{args: []string{"call"}, want: "arguments are missing"},
		{args: []string{"call", "a.b", "--timout", "1s"}, want: "--timout"},
		{args: []string{"broker", "--listen", "here"}, want: "write it as 127.0.0.1:4222"},
		{args: []string{"dead", "5m2kq7xw3dza"}, want: "enoki dead show 5m2kq7xw3dza"},
		{args: []string{"dead", "show"}, want: "arguments are missing"},
		{args: []string{"dead", "--since", "yesterday"}, want: `--since "yesterday" is no time`},
		{args: []string{"run", "./nothing-here"}, want: "nothing-here"},
	} {
		stdout, stderr, code := run(t, "", c.args...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: want %d and %q, got %d and %q", c.args, exitUsage, c.want, code, stderr)
		}
	}
	if help := must(t, "call", "--help"); strings.Index(help, "Examples:") > strings.Index(help, "Usage:") {
		t.Error("help shows the usage before the examples")
	}
	if out := must(t, "version"); !strings.HasPrefix(out, "enoki ") {
		t.Errorf("version prints %q", out)
	}
}

func TestBrokerCommand(t *testing.T) {
	t.Parallel()
	s := start(t, nil, "broker", "--listen", "127.0.0.1:0", "--dir", t.TempDir())
	s.stderr.await(t, "broker runs", 1)
	url := strings.TrimSpace(s.stdout.String())
	serve(t, url)
	if got := must(t, "call", "register.check_registered", "u_id=7434029", "--broker", url); !strings.Contains(got, "Ada") {
		t.Errorf("a call on it gives %q", got)
	}
	_, address, _ := strings.Cut(url, "@")
	if _, stderr, code := run(t, "", "broker", "--listen", address, "--dir", t.TempDir()); code != 1 || !strings.Contains(stderr, "port is in use") {
		t.Errorf("a second one on its address ends with %d: %s", code, stderr)
	}
}

func TestBrokerOfOneProcess(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"memory:", "embedded:?port=0"} {
		if _, stderr, code := run(t, "", "services", "--broker", url); code != exitUsage || !strings.Contains(stderr, "nobody else is on it") {
			t.Errorf("services on %s ends with %d: %s", url, code, stderr)
		}
	}
}

func TestEmptyAndMisspeltBroker(t *testing.T) {
	withoutBroker(t)
	for want, args := range map[string][]string{
		"--broker is empty":     {"dead", "discard", "--all", "--yes", "--broker", ""},
		"the broker's URL":      {"services", "--broker", "localhost"},
		"no driver":             {"services", "--broker", "kafka://h"},
		"unknown flag: --brokr": {"services", "--brokr", "x"},
	} {
		if _, stderr, code := run(t, "", args...); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%v ends with %d: %s, want %q", args, code, stderr, want)
		}
	}
	t.Setenv("ENOKI_BROKR", "nats://h")
	if _, stderr, code := run(t, "", "services"); code != exitUsage || !strings.Contains(stderr, "did you mean ENOKI_BROKER?") {
		t.Errorf("a misspelt variable: %d %s", code, stderr)
	}
	t.Setenv(brokerVariable, "")
	if _, stderr, code := run(t, "", "services"); code != exitUsage || !strings.Contains(stderr, "$ENOKI_BROKER is empty") {
		t.Errorf("an empty variable: %d %s", code, stderr)
	}
}

// TestBrokersOfProjects: each project has its own, which commands find by the
// directory they run in.
func TestBrokersOfProjects(t *testing.T) {
	withoutBroker(t)
	project := func() string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module m\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	shop, zoo, nowhere := project(), project(), t.TempDir()
	t.Chdir(shop)
	first := start(t, nil, "broker")
	first.stderr.await(t, "broker runs", 1)
	serve(t, strings.TrimSpace(first.stdout.String()))
	must(t, "services", "register", "--wait", "30s")

	t.Chdir(nowhere)
	if stdout, stderr, code := run(t, "", "services", "register"); code != 0 || !strings.Contains(stdout, "register") || !strings.Contains(stderr, "on the broker of project "+shop) {
		t.Errorf("outside of projects, with one broker: %d %s %s", code, stdout, stderr)
	}
	if _, stderr, code := run(t, "", "broker"); code != exitUsage || !strings.Contains(stderr, "no project here") {
		t.Errorf("a broker for no project: %d %s", code, stderr)
	}
	t.Chdir(zoo)
	if _, stderr, code := run(t, "", "services"); code != 7 || !strings.Contains(stderr, "no broker runs for project "+zoo) || !strings.Contains(stderr, "one runs for project "+shop) {
		t.Errorf("in a project without a broker: %d %s", code, stderr)
	}
	second := start(t, nil, "broker")
	second.stderr.await(t, "broker runs", 1)
	if _, stderr, code := run(t, "", "services"); code != 0 || !strings.Contains(stderr, "on the broker of project "+zoo) || !strings.Contains(stderr, "no service is alive") {
		t.Errorf("in the other project: %d %s", code, stderr)
	}
	if _, stderr, code := run(t, "", "broker"); code != 1 || !strings.Contains(stderr, "that broker runs already") {
		t.Errorf("a second one in a project: %d %s", code, stderr)
	}
	t.Chdir(nowhere)
	if _, stderr, code := run(t, "", "services"); code != exitUsage || !strings.Contains(stderr, "which broker?") {
		t.Errorf("outside of projects, with two: %d %s", code, stderr)
	}
	list := must(t, "broker", "list")
	for _, want := range []string{shop, zoo, strings.TrimSpace(first.stdout.String()), strings.TrimSpace(second.stdout.String())} {
		if !strings.Contains(list, want) {
			t.Errorf("no %s in\n%s", want, list)
		}
	}
}

// TestPasswordOfTheBroker: without it nobody gets in, and is told where it is.
func TestPasswordOfTheBroker(t *testing.T) {
	t.Parallel()
	s := start(t, nil, "broker", "--listen", "127.0.0.1:0", "--dir", t.TempDir())
	s.stderr.await(t, "broker runs", 1)
	u, err := url.Parse(strings.TrimSpace(s.stdout.String()))
	if err != nil {
		t.Fatal(err)
	}
	must(t, "services", "--broker", u.String())
	for _, user := range []*url.Userinfo{nil, url.UserPassword("enoki", "wrong")} {
		u.User = user
		_, stderr, code := run(t, "", "dead", "discard", "--all", "--yes", "--broker", u.String())
		if code != 7 || !strings.Contains(stderr, "enoki: unavailable: ") || !strings.Contains(stderr, "enoki broker list") {
			t.Errorf("with %v it ends with %d: %s", user, code, stderr)
		}
	}
}

// TestMisspeltNames: what is not there is told, with what is.
func TestMisspeltNames(t *testing.T) {
	t.Parallel()
	url := startEmbedded(t)
	serve(t, url)
	must(t, "services", "register", "push", "comments", "--wait", "30s", "--broker", url)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"services", "registr"}, 4, "registr is not alive\nDid you mean register?"},
		{[]string{"services", "warehouse"}, 4, "warehouse is not alive; there is comments, push, register"},
		{[]string{"services", "push", "registr"}, 4, "Did you mean register?"},
		{[]string{"services", "registr", "--wait", "1ms"}, 124, "Did you mean register?"},
		{[]string{"emit", "comments.postd", "1"}, 0, "no live service emits or handles comments.postd\nDid you mean comments.posted?"},
		{[]string{"emit", "comments.posted", `{"article_id":1,"content":""}`}, 0, ""},
	} {
		_, stderr, code := run(t, "", append(c.args, "--broker", url)...)
		if code != c.code || !strings.Contains(stderr, c.want) || c.want == "" && stderr != "" {
			t.Errorf("%v ends with %d: %s, want %d and %q", c.args, code, stderr, c.code, c.want)
		}
	}
	s := start(t, nil, "listen", "comment.posted", "--broker", url)
	s.stderr.await(t, "Did you mean comments.posted?", 1)
}

// TestWaitForTheBroker: services --wait waits for the broker, too.
func TestWaitForTheBroker(t *testing.T) {
	withoutBroker(t)
	t.Setenv(storeDirVariable, t.TempDir())
	if _, stderr, code := run(t, "", "services", "--wait", "1ms"); code != 124 || !strings.Contains(stderr, "no broker came within 1ms") {
		t.Errorf("without a broker: %d %s", code, stderr)
	}
	waiting := start(t, nil, "services", "register", "--wait", testTimeout.String())
	broker := start(t, nil, "broker")
	broker.stderr.await(t, "broker runs", 1)
	serve(t, strings.TrimSpace(broker.stdout.String()))
	if code := waiting.wait(t); code != 0 || !strings.Contains(waiting.stdout.String(), "check_registered") {
		t.Errorf("it ends with %d: %s %s", code, waiting.stdout, waiting.stderr)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var out strings.Builder
	err := writeTable(&out, []broker.Instance{
		{Name: "api", ID: "a1", Host: "box", Started: now.Add(-90 * time.Second)},
		{
			Name: "push", ID: "b2", Host: "box", Version: "1.2.0", Methods: []broker.Method{{Name: "push", Args: []string{"u_id", "urgent?"}}},
			Handles: []broker.Event{{Source: "comments", Name: "posted", Mode: broker.Broadcast}},
			Emits:   []broker.Event{{Source: "push", Name: "sent"}},
		},
	}, now)
	want := `SERVICE  VERSION  INSTANCE  HOST  UP     METHODS              EVENTS
api      0.0.0    a1        box   1m30s
push     1.2.0    b2        box   -      push(u_id, urgent?)  handles comments.posted (broadcast)
                                                              emits push.sent
`
	if err != nil || out.String() != want {
		t.Errorf("got (%v)\n%swant\n%s", err, out.String(), want)
	}
}
