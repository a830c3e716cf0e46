package migration_test

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki/internal/testserver"
)

// TestPage follows docs/migrate.md with both versions of Nameko: it saves the
// page's files and runs its commands, on a RabbitMQ of its own. Only addresses
// are replaced.
func TestPage(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for _, program := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			testserver.Skip(t, program+" is not installed")
		}
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "migrate.md"))
	if err != nil {
		t.Fatal(err)
	}
	server := testserver.RabbitMQ(t)
	for _, version := range []string{nameko2, nameko3} {
		t.Run(version, func(t *testing.T) {
			vhost := strings.ReplaceAll(version, ".", "-")
			addVhost(t, server, vhost)
			page := parsePage(t, withAddresses(t, string(text), server, vhost))
			dir := t.TempDir()
			page.save(t, dir)
			prepareModule(t, dir, root)
			x := newTerminal(t, dir, "PATH="+namekoDir(t, version)+":"+programs+":"+os.Getenv("PATH"),
				"GOWORK="+filepath.Join(dir, "go.work"), "NO_COLOR=1", "PYTHONWARNINGS=ignore", "ENOKI_ADMIN=off")
			for _, e := range page.examples {
				if !strings.HasPrefix(e.command, "nameko run") {
					x.do(t, e)
					continue
				}
				before := consumers(t, server, vhost)
				x.do(t, e)
				awaitNameko(t, server, vhost, before)
			}
			page.checkPieces(t, dir)
		})
	}
}

func addVhost(t *testing.T, server *testserver.Server, name string) {
	t.Helper()
	for _, args := range [][]string{{"add_vhost", name}, {"set_permissions", "-p", name, "guest", ".*", ".*", ".*"}} {
		if out, err := server.Ctl(args...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// awaitNameko waits until Nameko has one more consumer on each queue of the
// service than before. It says "Connected" earlier than that, and on a busy
// machine the next command would find no queue.
func awaitNameko(t *testing.T, server *testserver.Server, vhost string, before map[string]int) {
	t.Helper()
	begun := time.Now()
	for _, queue := range []string{"rpc-prices", "evt-orders-placed--prices.note_order"} {
		for consumers(t, server, vhost)[queue] <= before[queue] {
			if time.Since(begun) > patience {
				t.Fatalf("Nameko does not consume from %s within %v", queue, patience)
			}
		}
	}
}

// consumers counts the consumers of each queue that has some.
func consumers(t *testing.T, server *testserver.Server, vhost string) map[string]int {
	t.Helper()
	out, err := server.Ctl("list_consumers", "-p", vhost, "queue_name")
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for line := range strings.Lines(out) {
		count[strings.TrimSpace(line)]++
	}
	return count
}

// withAddresses gives the page the broker's address, and free ones for HTTP.
func withAddresses(t *testing.T, text string, server *testserver.Server, vhost string) string {
	t.Helper()
	broker, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(
		"127.0.0.1:5672//", broker.Host+"/"+vhost, // as Nameko shows the vhost "/"
		"127.0.0.1:5672", broker.Host+"/"+vhost,
		"127.0.0.1:8000", testserver.Address(t),
		"127.0.0.1:8001", testserver.Address(t),
	).Replace(text)
}

// namekoDir returns a directory with the command nameko of that version.
func namekoDir(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' \"$@\"\n", strings.Join(namekoCommand(python(t, version)), "' '"))
	if err := os.WriteFile(filepath.Join(dir, "nameko"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// prepareModule makes dir the module example.com/shop, which finds Enoki in
// this checkout.
func prepareModule(t *testing.T, dir, root string) {
	t.Helper()
	save(t, dir, "go.mod", "module example.com/shop\n\ngo 1.26.0\n")
	save(t, dir, "go.work", "go 1.26.0\n\nuse .\n\nuse "+root+"\n")
}

func save(t *testing.T, dir, name, text string) {
	t.Helper()
	name = filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// page is what a page has to be done.
type page struct {
	files    map[string]string // by name
	pieces   []string          // of files that commands write
	examples []example
}

// example is a command and the lines that the page says it shows.
type example struct {
	command string
	lines   []string
}

func (e example) has(line string) bool {
	for _, want := range e.lines {
		if matches(want, line) {
			return true
		}
	}
	return false
}

var (
	block      = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")
	nameBefore = regexp.MustCompile("`([^`\n]+)`:\\s*$")
)

// parsePage finds the blocks of a page. One of console is commands; one after
// a line that ends with a file's name is that file; any other is a piece of
// what a command writes.
func parsePage(t *testing.T, text string) page {
	t.Helper()
	p := page{files: map[string]string{}}
	end := 0
	for _, at := range block.FindAllStringSubmatchIndex(text, -1) {
		before, language, content := text[end:at[0]], text[at[2]:at[3]], text[at[4]:at[5]]
		end = at[1]
		name := nameBefore.FindStringSubmatch(before)
		switch {
		case language == "console":
			p.examples = append(p.examples, parseExamples(content)...)
		case name != nil:
			p.files[name[1]] = content
		default:
			p.pieces = append(p.pieces, strings.TrimSpace(content))
		}
	}
	if len(p.files) < 3 || len(p.examples) < 20 {
		t.Fatalf("only %d files and %d commands were found in the page", len(p.files), len(p.examples))
	}
	return p
}

func parseExamples(console string) (examples []example) {
	for line := range strings.Lines(console) {
		line = strings.TrimSpace(line)
		if command, found := strings.CutPrefix(line, "$ "); found {
			examples = append(examples, example{command: command})
			continue
		}
		last := &examples[len(examples)-1]
		last.lines = append(last.lines, line)
	}
	return examples
}

func (p page) save(t *testing.T, dir string) {
	t.Helper()
	for name, text := range p.files {
		save(t, dir, name, text)
	}
}

// checkPieces finds each piece in what commands have written.
func (p page) checkPieces(t *testing.T, dir string) {
	t.Helper()
	if len(p.pieces) == 0 {
		t.Error("the page shows no piece of a file that a command writes")
	}
	written, err := os.ReadFile(filepath.Join(dir, "pricesapi", "prices.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range p.pieces {
		if !strings.Contains(string(written), piece) {
			t.Errorf("the contract has no %q in\n%s", piece, written)
		}
	}
}
