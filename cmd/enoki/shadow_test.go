package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/host"
	"github.com/enoki-go/enoki/internal/testserver"
)

// shadowRegister is the Go service that is to take the place of register.py.
// It knows another country of one user, and another error.
const shadowRegister = `package register

import (
	"context"

	"github.com/enoki-go/enoki"
)

type user struct {
	Name    string ` + "`json:\"name\"`" + `
	Country string ` + "`json:\"country\"`" + `
}

func New() *enoki.Service {
	return enoki.NewService("register",
		enoki.Method("check_registered", checkRegistered, "u_id"),
		enoki.Method("rename", rename, "u_id", "name"))
}

func checkRegistered(_ context.Context, id string) (*user, error) {
	switch id {
	case "7434029":
		return &user{Name: "Ada", Country: "UK"}, nil
	case "7000001":
		return &user{Name: "Linus", Country: "FI"}, nil
	}
	return nil, nil
}

func rename(ctx context.Context, id, name string) (*user, error) {
	u, err := checkRegistered(ctx, id)
	if err == nil && u == nil {
		return nil, enoki.Errorf(enoki.NotFound, "no user %s", id)
	}
	u.Name = name
	return u, err
}
`

// account is the result of the services that these tests make in Go.
type account struct {
	Name    string `json:"name"`
	Secret  string `json:"secret"`
	Serial  int    `json:"serial"` // another one on each side
	Country string `json:"country"`
}

// accounts is a service that answers with country, or as fn says.
func accounts(country string, serial int, fn func(ctx context.Context, id string) (*account, error)) *enoki.Service {
	if fn == nil {
		fn = func(_ context.Context, id string) (*account, error) {
			if id == "" {
				return nil, enoki.Errorf(enoki.InvalidArgument, "no id for %s", country)
			}
			return &account{Name: "Ada", Secret: "secret of " + country, Serial: serial, Country: country}, nil
		}
	}
	return enoki.NewService("accounts", enoki.Method("get", fn, "id"))
}

// TestShadow compares Go services over a real RabbitMQ.
func TestShadow(t *testing.T) {
	t.Parallel()
	rabbit := newLiveSide(t)
	serveAll(t, rabbit.URL(), accounts("GB", 1, nil))
	rabbit.get(t, "7") // which makes the caller's reply queue
	t.Run("equal", func(t *testing.T) { testShadowEqual(t, rabbit) })
	t.Run("different", func(t *testing.T) { testShadowDifferent(t, rabbit) })
	t.Run("ignored and hidden", func(t *testing.T) { testShadowIgnoredAndHidden(t, rabbit) })
	t.Run("json", func(t *testing.T) { testShadowJSON(t, rabbit) })
	t.Run("context", func(t *testing.T) { testShadowContext(t, rabbit) })
	t.Run("blocked", func(t *testing.T) { testShadowBlocked(t, rabbit) })
	t.Run("refused", func(t *testing.T) { testShadowRefused(t, rabbit) })
}

// liveSide is a broker and a caller on it.
type liveSide struct {
	*testserver.Server
	client *enoki.Client
}

func newLiveSide(t *testing.T) *liveSide {
	t.Helper()
	server := testserver.RabbitMQ(t)
	b, err := host.Dial(t.Context(), server.URL(), quietLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return &liveSide{server, enoki.NewClient(b, nil)}
}

// get calls the live service, which refuses an empty id.
func (l *liveSide) get(t *testing.T, id string) {
	t.Helper()
	_, err := l.client.Call(t.Context(), "accounts", "get", nil, map[string]any{"id": id})
	if err != nil && id != "" {
		t.Fatalf("the live service fails: %v", err)
	}
}

// serveAll runs services until the test ends, and returns once they take work.
func serveAll(t *testing.T, url string, services ...*enoki.Service) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b, err := host.Dial(ctx, url, quietLogger())
	if err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	options := &enoki.Options{Logger: quietLogger(), OnReady: func() { close(ready) }, Grace: time.Second}
	go func() { ended <- enoki.Run(ctx, b, options, services...) }()
	t.Cleanup(func() {
		cancel()
		<-ended // what is cut off at the end of a test may fail
		_ = b.Close()
	})
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("services did not start: %v", err)
	}
}

// startShadowing starts the command against a broker on which the service
// runs, and returns once it copies requests.
func startShadowing(t *testing.T, rabbit *liveSide, against string, flags ...string) *session {
	t.Helper()
	args := append([]string{"shadow", "accounts", "--broker", rabbit.URL(), "--against", against}, flags...)
	s := start(t, nil, args...)
	s.stderr.await(t, "shadowing accounts", 1)
	return s
}

func wantEnd(t *testing.T, s *session, code int, stdout string) {
	t.Helper()
	if got := s.wait(t); got != code {
		t.Errorf("it ends with %d, want %d\n%s", got, code, s.stderr)
	}
	if got := s.stdout.String(); got != stdout {
		t.Errorf("it prints\n%s\nwant\n%s", got, stdout)
	}
}

func testShadowEqual(t *testing.T, rabbit *liveSide) {
	url := startEmbedded(t)
	serveAll(t, url, accounts("GB", 1, nil))
	s := startShadowing(t, rabbit, url, "--count", "3")
	for _, id := range []string{"7", "8", ""} {
		rabbit.get(t, id)
	}
	wantEnd(t, s, 0, "SEEN  COMPARED  EQUAL  DIFFERENT  NOT ANSWERED  LATE  DROPPED\n3     3         3      0          0             0     0\n")
}

func testShadowDifferent(t *testing.T, rabbit *liveSide) {
	url := startEmbedded(t)
	serveAll(t, url, accounts("UK", 1, nil))
	s := startShadowing(t, rabbit, url, "--ignore", "result.secret")
	rabbit.get(t, "7")
	s.stdout.await(t, `shadow  "UK"`, 1)
	rabbit.get(t, "8")
	rabbit.get(t, "")
	s.stdout.await(t, `shadow  "no id for UK"`, 1)
	s.interrupt() // what it has taken is compared before it ends
	wantEnd(t, s, 1, `accounts.get(id="7")
  result.country
    live    "GB"
    shadow  "UK"
accounts.get(id="")
  error.value
    live    "no id for GB"
    shadow  "no id for UK"
SEEN  COMPARED  EQUAL  DIFFERENT  NOT ANSWERED  LATE  DROPPED
3     3         0      3          0             0     0

REQUESTS  METHOD        FIELD
2         accounts.get  result.country
1         accounts.get  error.value
`)
}

func testShadowIgnoredAndHidden(t *testing.T, rabbit *liveSide) {
	url := startEmbedded(t)
	serveAll(t, url, accounts("UK", 2, nil))
	s := startShadowing(t, rabbit, url, "--count", "1", "--ignore", "result.serial,result.country", "--hide", "secret,arguments.id")
	rabbit.get(t, "7")
	wantEnd(t, s, 1, `accounts.get(id="***")
  result.secret
    live    "***"
    shadow  "***"
SEEN  COMPARED  EQUAL  DIFFERENT  NOT ANSWERED  LATE  DROPPED
1     1         0      1          0             0     0

REQUESTS  METHOD        FIELD
1         accounts.get  result.secret
`)
	s = startShadowing(t, rabbit, url, "--count", "2", "--ignore", "result,error.value")
	rabbit.get(t, "7")
	rabbit.get(t, "")
	wantEnd(t, s, 0, "SEEN  COMPARED  EQUAL  DIFFERENT  NOT ANSWERED  LATE  DROPPED\n2     2         2      0          0             0     0\n")
}

func testShadowJSON(t *testing.T, rabbit *liveSide) {
	url := startEmbedded(t)
	serveAll(t, url, accounts("GB", 2, nil))
	s := startShadowing(t, rabbit, url, "--count", "1", "--json")
	rabbit.get(t, "7")
	wantEnd(t, s, 1, `{"difference":{"method":"accounts.get","arguments":{"args":[],"kwargs":{"id":"7"}},"path":"result.serial","live":1,"shadow":2}}
{"summary":{"seen":1,"left_out":0,"compared":1,"equal":0,"different":1,"not_answered":0,"late":0,"dropped":0,"kinds":[{"method":"accounts.get","path":"result.serial","requests":1}],"more":0}}
`)
}

// testShadowContext: the shadow gets the context data of the live request.
func testShadowContext(t *testing.T, rabbit *liveSide) {
	url := startEmbedded(t)
	seen := make(chan map[string]any, 1)
	stacks := make(chan []string, 1)
	serveAll(t, url, accounts("", 0, func(ctx context.Context, _ string) (*account, error) {
		seen <- enoki.ContextData(ctx)
		stacks <- enoki.CallStack(ctx)
		return nil, nil
	}))
	s := startShadowing(t, rabbit, url, "--count", "1")
	ctx := enoki.WithContextData(t.Context(), "user_id", 7)
	if _, err := rabbit.client.Call(ctx, "accounts", "get", []any{"7"}, nil); err != nil {
		t.Fatal(err)
	}
	if data := <-seen; fmt.Sprint(data["user_id"]) != "7" {
		t.Errorf("the context data is %v", data)
	}
	if stack := <-stacks; len(stack) != 2 || !strings.HasPrefix(stack[0], "enoki_client.call.") {
		t.Errorf("the call stack is %v", stack)
	}
	s.wait(t)
}

// testShadowBlocked calls the live service while no call to the shadow ever
// returns.
func testShadowBlocked(t *testing.T, rabbit *liveSide) {
	url := startEmbedded(t)
	begun, gate := make(chan struct{}, 1000), make(chan struct{})
	serveAll(t, url, accounts("", 0, func(context.Context, string) (*account, error) {
		begun <- struct{}{}
		<-gate
		return nil, nil
	}))
	defer close(gate)
	before := brokerState(t, rabbit.Server)
	s := startShadowing(t, rabbit, url, "--count", "21")
	rabbit.get(t, "7")
	<-begun
	for range 20 {
		rabbit.get(t, "8") // which waits for the live answer
	}
	s.kill() // it takes the rest, and waits for no answer
	s.wait(t)
	if want := "21    0         0      0          0             0     21"; !strings.Contains(s.stdout.String(), want) {
		t.Errorf("it prints\n%s\nwant %s", s.stdout, want)
	}
	awaitState(t, rabbit.Server, before)
}

// brokerState is all that lives on a broker beside messages, but for the reply
// queues that Python's clients leave there for five minutes.
func brokerState(t *testing.T, rabbit *testserver.Server) string {
	t.Helper()
	var state strings.Builder
	for _, command := range []string{
		"list_exchanges name type durable auto_delete arguments",
		"list_queues name durable auto_delete exclusive arguments consumers",
		"list_bindings source_name destination_name routing_key",
		"list_consumers queue_name ack_required prefetch_count",
	} {
		out, err := rabbit.Ctl(strings.Fields(command)...)
		if err != nil {
			t.Fatal(err)
		}
		lines := slices.DeleteFunc(strings.Split(out, "\n"), func(line string) bool {
			return strings.Contains(line, "rpc.reply-standalone_rpc_proxy-")
		})
		slices.Sort(lines)
		state.WriteString(strings.Join(lines, "\n") + "\n")
	}
	return state.String()
}

// awaitState waits until the broker is as it was: it removes the queues of a
// lost connection a moment later.
func awaitState(t *testing.T, rabbit *testserver.Server, before string) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); ; {
		now := brokerState(t, rabbit)
		if now == before {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the broker had\n%s\nand has\n%s", before, now)
		}
	}
}

func testShadowRefused(t *testing.T, rabbit *liveSide) {
	before := brokerState(t, rabbit.Server)
	elsewhere := startEmbedded(t)
	url := rabbit.URL()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{args: []string{"accounts", "--broker", url}, code: exitUsage, want: "--against is missing"},
		{args: []string{"accounts", "--broker", elsewhere, "--against", "./x"}, code: exitUsage, want: "the live service is on RabbitMQ"},
		{args: []string{"accounts", "push", "--broker", url, "--against", "./x"}, code: exitUsage, want: "want the name of one service"},
		{args: []string{"accounts", "--broker", url, "--against", "./x", "--sample", "10"}, code: exitUsage, want: "write it as 10%"},
		{args: []string{"accounts", "--broker", url, "--against", "./x", "--ignore", "serial"}, code: exitUsage, want: "write result.serial"},
		{args: []string{"accounts", "--broker", url, "--against", elsewhere, "--with", "./x"}, code: exitUsage, want: "nothing is run"},
		{args: []string{"nobody", "--broker", url, "--against", elsewhere}, code: 7, want: `there is no queue "rpc-nobody"`},
		{args: []string{"accounts", "--broker", url, "--against", elsewhere, "--rpc-exchange", "absent"}, code: 7, want: `there is no exchange "absent"`},
		{args: []string{"accounts", "--broker", url, "--against", strings.Replace(url, "127.0.0.1", "localhost", 1)}, code: exitUsage, want: "is the broker of the live service"},
		{args: []string{"accounts", "--broker", url, "--against", "./absent"}, code: exitUsage, want: "absent"},
	} {
		_, stderr, code := run(t, "", append([]string{"shadow"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: want %d and %q, got %d:\n%s", c.args, c.code, c.want, code, stderr)
		}
	}
	serveAll(t, elsewhere, accounts("", 0, nil))
	if _, stderr, code := run(t, "", "shadow", "accounts", "--broker", url, "--against", elsewhere, "--for", "1ms"); code != 4 || !strings.Contains(stderr, "no request to accounts was compared") {
		t.Errorf("without a request it ends with %d: %s", code, stderr)
	}
	awaitState(t, rabbit.Server, before)
}

// TestShadowPython shadows a Nameko service, which a Nameko client calls, with
// a Go package, and leaves no trace on the broker.
func TestShadowPython(t *testing.T) {
	rabbit := testserver.RabbitMQ(t)
	callRegister := startRegister(t, rabbit)
	before := brokerState(t, rabbit)
	newModule(t, map[string]string{"services/register/register.go": shadowRegister})
	s := start(t, nil, "shadow", "register", "--broker", rabbit.URL(), "--against", "./services/register", "--count", "4")
	s.stderr.await(t, "shadowing register", 1)
	callRegister()
	if code := s.wait(t); code != 1 {
		t.Errorf("it ends with %d:\n%s", code, s.stderr)
	}
	for _, want := range []string{
		"register.check_registered(\"7434029\")\n  result.country\n    live    \"GB\"\n    shadow  \"UK\"\n",
		"error.exc_path\n    live    \"builtins.KeyError\"\n",
		"error.value\n    live    \"'1'\"\n    shadow  \"no user 1\"\n",
		"4     4         2      2          0             0     0\n",
	} {
		if !strings.Contains(s.stdout.String(), want) {
			t.Errorf("it prints\n%s\nwithout\n%s", s.stdout, want)
		}
	}
	awaitState(t, rabbit, before)
}

// shopPackage calls another service; stockPackage is that one.
const (
	shopPackage = `package shop

import (
	"context"

	"github.com/enoki-go/enoki"
)

type stock struct {
	Count func(ctx context.Context, item string) (int, error) ` + "`rpc:\"count\" args:\"item\"`" + `
}

func New() *enoki.Service {
	var s stock
	return enoki.NewService("shop", enoki.Needs("stock", &s),
		enoki.Method("available", func(ctx context.Context, item string) (bool, error) {
			n, err := s.Count(ctx, item)
			return n > 0, err
		}, "item"))
}
`
	// tellingPackage publishes and consumes as only RabbitMQ can.
	tellingPackage = `package telling

import (
	"context"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/nameko"
)

var orders = nameko.Exchange{Name: "orders", Type: "topic"}

func New() *enoki.Service {
	var publish nameko.Publisher[string]
	return enoki.NewService("shop",
		nameko.Publishes(orders, &publish),
		nameko.Consume(nameko.Queue{Name: "orders", Exchange: orders}, func(context.Context, string) error { return nil }),
		enoki.Method("available", func(ctx context.Context, item string) (bool, error) { return true, publish(ctx, item) }, "item"))
}
`
	stockPackage = `package stock

import (
	"context"

	"github.com/enoki-go/enoki"
)

func New() *enoki.Service {
	return enoki.NewService("stock", enoki.Method("count", func(context.Context, string) (int, error) { return 3, nil }, "item"))
}
`
	// dyingPackage ends its program with the first request.
	dyingPackage = `package dying

import (
	"context"
	"os"

	"github.com/enoki-go/enoki"
)

func New() *enoki.Service {
	return enoki.NewService("shop", enoki.Method("available", func(context.Context, string) (bool, error) {
		os.Exit(5)
		return false, nil
	}, "item"))
}
`
)

// TestShadowPackages runs packages: one that needs another, and those that
// fail.
func TestShadowPackages(t *testing.T) {
	rabbit := newLiveSide(t)
	var liveCalls atomic.Int32
	serveAll(t, rabbit.URL(),
		enoki.NewService("shop", enoki.Method("available", func(context.Context, string) (bool, error) { return true, nil }, "item")),
		enoki.NewService("stock", enoki.Method("count", func(context.Context, string) (int, error) {
			liveCalls.Add(1)
			return 0, nil
		}, "item")))
	newModule(t, map[string]string{
		"shop/shop.go": shopPackage, "stock/stock.go": stockPackage, "dying/dying.go": dyingPackage, "telling/telling.go": tellingPackage,
		"broken/broken.go": strings.Replace(stockPackage, "return 3", "return three", 1),
	})
	shadow := func(flags ...string) *session {
		return start(t, nil, append([]string{"shadow", "shop", "--broker", rabbit.URL()}, flags...)...)
	}
	available := func(s *session) {
		t.Helper()
		s.stderr.await(t, "shadowing shop", 1)
		if _, err := rabbit.client.Call(t.Context(), "shop", "available", []any{"tea"}, nil); err != nil {
			t.Fatal(err)
		}
	}

	s := shadow("--against", "./shop", "--with", "./stock", "--count", "1")
	available(s)
	wantEnd(t, s, 0, "SEEN  COMPARED  EQUAL  DIFFERENT  NOT ANSWERED  LATE  DROPPED\n1     1         1      0          0             0     0\n")

	s = shadow("--against", "./telling", "--count", "1") // which has no RabbitMQ there
	available(s)
	wantEnd(t, s, 0, "SEEN  COMPARED  EQUAL  DIFFERENT  NOT ANSWERED  LATE  DROPPED\n1     1         1      0          0             0     0\n")

	s = shadow("--against", "./shop", "--count", "1") // which does not find stock: not on the live broker, too
	available(s)
	if code := s.wait(t); code != 1 || !strings.Contains(s.stdout.String(), "unknown service") {
		t.Errorf("without what it needs it ends with %d:\n%s", code, s.stdout)
	}
	if n := liveCalls.Load(); n > 0 {
		t.Errorf("the live stock was called %d times", n)
	}

	s = shadow("--against", "./dying")
	available(s)
	if code := s.wait(t); code != 7 || !strings.Contains(s.stderr.String(), "./dying failed with code 5") || !strings.Contains(s.stdout.String(), "SEEN") {
		t.Errorf("when the program dies it ends with %d:\n%s%s", code, s.stdout, s.stderr)
	}
	s = shadow("--against", "./broken")
	if code := s.wait(t); code != 7 || !strings.Contains(s.stderr.String(), "undefined: three") {
		t.Errorf("a build that fails ends it with %d:\n%s", code, s.stderr)
	}
}

// startRegister runs register.py until the test ends, and returns what makes
// the calls of caller.py.
func startRegister(t *testing.T, rabbit *testserver.Server) (call func()) {
	t.Helper()
	python := testserver.Python(t, "nameko-2.14.1", filepath.Join("..", "..", "test", "interop", "python", "requirements-2.14.1.txt"))
	scripts, err := filepath.Abs(filepath.Join("testdata", "shadow"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, filepath.Join(scripts, "register.py"), rabbit.URL())
	var printed bytes.Buffer // read once it has ended
	cmd.Stderr = &printed
	stdin, stdinErr := cmd.StdinPipe()
	stdout, stdoutErr := cmd.StdoutPipe()
	if err := errors.Join(stdinErr, stdoutErr, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // its sign to end
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("register.py printed:\n%s", &printed)
		}
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("register.py does not start: %q %v", line, err)
	}
	return func() {
		t.Helper()
		if out, err := exec.Command(python, filepath.Join(scripts, "caller.py"), rabbit.URL()).CombinedOutput(); err != nil {
			t.Fatalf("caller.py: %v\n%s", err, out)
		}
	}
}

// TestShadowDocs runs the examples of docs/shadow.md, while caller.py calls
// register.py, and holds the page to what they print.
func TestShadowDocs(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "shadow.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples := readExamples(string(text))
	if len(examples) < 3 {
		t.Fatalf("only %d examples were found in docs/shadow.md", len(examples))
	}
	rabbit := testserver.RabbitMQ(t)
	callRegister := startRegister(t, rabbit)
	t.Setenv(brokerVariable, rabbit.URL())
	newModule(t, map[string]string{"services/register/register.go": shadowRegister})
	for _, e := range examples {
		s := start(t, nil, shellWords(t, e.command)[1:]...)
		s.stderr.await(t, "shadowing register", 1)
		callRegister()
		s.wait(t)
		if !e.matches(s.stdout.String()) {
			t.Errorf("docs/shadow.md: $ %s\nshows:\n%s\nbut it prints:\n%s", e.command, e.output, s.stdout)
		}
	}
}
