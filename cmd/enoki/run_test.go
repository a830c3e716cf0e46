package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enoki-go/enoki/internal/brokerdir"
)

// plainMain is a program that says its version when it starts, and that it
// was asked to end.
const plainMain = `package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"example.com/shop/motto"
)

const version = "VERSION"

func main() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	fmt.Println("version", version, os.Args[1:])
	fmt.Print(motto.Text)
	<-asked
	fmt.Println("ends", version)
}
`

// motto is a package that plainMain imports, with an embedded file.
const motto = `package motto

import _ "embed"

//go:embed motto.txt
var Text string
`

// stubbornMain does not end when it is asked to.
const stubbornMain = `package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	fmt.Println("here to stay, process", os.Getpid())
	for range asked {
		fmt.Println("asked to end")
	}
}
`

const failingMain = `package main

import "os"

func main() { os.Exit(9) }
`

// parentMain ends well, and leaves a process that keeps its output.
const parentMain = `package main

import (
	"os"
	"os/exec"
)

func main() {
	child := exec.Command("sleep", "5")
	child.Stdout = os.Stdout
	if err := child.Start(); err != nil {
		panic(err)
	}
}
`

// greeter has no main.
const greeter = `package greeter

import (
	"context"

	"github.com/enoki-go/enoki"
)

func New() *enoki.Service {
	return enoki.NewService("greeter", enoki.Method("hello", hello, "name"))
}

func hello(_ context.Context, name string) (string, error) { return "VERSION " + name, nil }
`

// TestRun builds two packages, one of them without a main, and follows them
// over a mistake, a mended one, and a change of what one of them embeds.
func TestRun(t *testing.T) {
	dir := newModule(t, map[string]string{
		"plain/main.go":      strings.ReplaceAll(plainMain, "VERSION", "one"),
		"motto/motto.go":     motto,
		"motto/motto.txt":    "slowly\n",
		"greeter/greeter.go": strings.ReplaceAll(greeter, "VERSION", "Hello"),
	})
	url := startEmbedded(t)
	s := start(t, nil, "run", "--broker", url, "./plain", "./greeter", "--", "--log-format", "json")
	s.stdout.await(t, "plain   | version one [--log-format json]", 1)
	s.stderr.await(t, "greeter | enoki run: started", 1)
	awaitAnswer(t, url, `"Hello Ada"`)

	write(t, dir, "plain/main.go", strings.ReplaceAll(plainMain, `"VERSION"`, "undefinedName"))
	s.stderr.await(t, "undefined: undefinedName", 1)
	s.stderr.await(t, "plain   | enoki run: build failed; the old process goes on", 1)
	if strings.Contains(s.stdout.String(), "ends one") {
		t.Error("the old process was ended for a build that failed")
	}

	write(t, dir, "plain/main.go", strings.ReplaceAll(plainMain, "VERSION", "two"))
	s.stdout.await(t, "plain   | ends one", 1)
	s.stdout.await(t, "plain   | version two", 1)
	s.stdout.await(t, "plain   | slowly", 2)

	write(t, dir, "motto/motto.txt", "steadily\n")
	s.stdout.await(t, "plain   | steadily", 1)

	write(t, dir, "greeter/greeter.go", strings.ReplaceAll(greeter, "VERSION", "Good day,"))
	s.stderr.await(t, "greeter | enoki run: started", 2)
	awaitAnswer(t, url, `"Good day, Ada"`)

	s.interrupt()
	if code := s.wait(t); code != 0 {
		t.Errorf("Ctrl-C ends it with %d:\n%s", code, s.stderr)
	}
	if n := strings.Count(s.stderr.String(), "greeter | enoki run: building"); n != 2 {
		t.Errorf("greeter was built %d times; only one of its files was changed", n)
	}
	if strings.Count(s.stdout.String(), "plain   | ends two") != 2 {
		t.Errorf("it did not let the process end:\n%s", s.stdout)
	}
	if strings.Contains(s.stdout.String()+s.stderr.String(), "\x1b[") {
		t.Error("there are colours, and no terminal")
	}
}

// TestRunStartsBroker runs a service with no broker anywhere: the broker is
// there for others as long as the command lives.
func TestRunStartsBroker(t *testing.T) {
	withoutBroker(t)
	newModule(t, map[string]string{"greeter/greeter.go": strings.ReplaceAll(greeter, "VERSION", "Hello")})
	s := start(t, nil, "run", "./...")
	s.stderr.await(t, "runs inside this process: nats://enoki:xxxxx@127.0.0.1:", 1)
	awaitAnswer(t, "", `"Hello Ada"`)
	here, _, err := brokerdir.Here("")
	if err != nil {
		t.Fatal(err)
	}
	s.interrupt()
	if code := s.wait(t); code != 0 {
		t.Errorf("Ctrl-C ends it with %d:\n%s", code, s.stderr)
	}
	if brokerdir.Running(here.Dir) {
		t.Error("the broker outlives the command")
	}
}

func TestRunOnce(t *testing.T) {
	newModule(t, map[string]string{
		"plain/main.go":   strings.ReplaceAll(plainMain, "VERSION", "one"),
		"motto/motto.go":  motto,
		"motto/motto.txt": "slowly\n",
		"failing/main.go": failingMain,
		"parent/main.go":  parentMain,
		"broken/main.go":  "package main\n\nfunc main() { undefinedName() }\n",
		"args/args.go":    strings.ReplaceAll(greeter, "New()", "New(name string)"),
		"neither/it.go":   "package neither\n",
	})
	for _, c := range []struct {
		packages []string
		code     int
		want     string // on stderr
	}{
		{packages: []string{"./failing", "./plain"}, code: 9},
		{packages: []string{"./parent"}, code: 0},
		{packages: []string{"./broken"}, code: 1, want: "broken | ./main.go:3:15: undefined: undefinedName"},
		{packages: []string{"./args"}, code: exitUsage, want: "has func New(…), but without a main it takes func New() *enoki.Service"},
		{packages: []string{"./neither"}, code: exitUsage, want: "has neither func main nor func New() *enoki.Service"},
		{packages: []string{"./absent"}, code: exitUsage, want: "absent"},
	} {
		args := append([]string{"run", "--once", "--broker", "nats://127.0.0.1:1"}, c.packages...)
		if _, stderr, code := run(t, "", args...); code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: want %d and %q, got %d:\n%s", c.packages, c.code, c.want, code, stderr)
		}
	}
}

func TestPrefixes(t *testing.T) {
	t.Parallel()
	packages := []goPackage{{ImportPath: "m/a/api"}, {ImportPath: "m/b/api"}, {ImportPath: "m/push"}}
	if got := strings.Join(prefixes(packages), " "); got != "a/api b/api push" {
		t.Errorf("prefixes are %s", got)
	}
}

// newModule writes the files of a module that uses this one, as a user has
// it, and goes there. The sums are what `go mod tidy` leaves to a module
// without a main: not those of package host.
func newModule(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	root := moduleRoot(t)
	dir = t.TempDir()
	write(t, dir, "go.mod", "module example.com/shop\n\ngo 1.26.0\n\nrequire "+enokiPath+" v0.0.0\n\nreplace "+enokiPath+" => "+root+"\n")
	for name, text := range files {
		write(t, dir, name, text)
	}
	// What is added to the sums was verified when it was downloaded for the
	// module itself; the test needs no network for it.
	t.Setenv("GONOSUMDB", "*")
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOWORK", "off")
	t.Chdir(dir)
	return dir
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// write puts a file in its place at once, as editors do: nobody sees half of it.
func write(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(filepath.Dir(file), "."+filepath.Base(file))
	if err := os.WriteFile(half, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(half, file); err != nil {
		t.Fatal(err)
	}
}
