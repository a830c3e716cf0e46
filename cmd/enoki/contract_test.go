package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"go/format"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enoki-go/enoki/cmd/enoki/contract"
	"github.com/enoki-go/enoki/internal/pysource"
)

var update = flag.Bool("update", false, "write the golden files of enoki contract anew")

// contractSources are Python files; beside each stands what it becomes.
func contractSources(t testing.TB) []string {
	t.Helper()
	sources, err := filepath.Glob("testdata/contract/*.py")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no Python files in testdata/contract: %v", err)
	}
	return sources
}

func TestContract(t *testing.T) {
	for _, source := range contractSources(t) {
		t.Run(filepath.Base(source), func(t *testing.T) {
			got := must(t, "contract", source)
			golden := goldenOf(source)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s becomes\n%s\nwant what is in %s; if that is right, go test -update writes it", source, got, golden)
			}
		})
	}
}

func goldenOf(source string) string { return strings.TrimSuffix(source, ".py") + ".golden" }

// TestContractsWork compiles the contracts and has package enoki check them:
// testdata/contract/check.go binds each and serves it. It is built as if it
// stood in the module, in a directory that is not there.
func TestContractsWork(t *testing.T) {
	files := map[string]string{"main.go": "testdata/contract/check.go"}
	for _, source := range contractSources(t) {
		name := strings.TrimSuffix(filepath.Base(source), ".py")
		files[name+"api/"+name+".go"] = goldenOf(source)
	}
	out := goOverlay(t, files, "run")
	if want := "register articles orders stock mailer "; out != want {
		t.Errorf("contracts of %q were checked, want %q", out, want)
	}
}

// goOverlay has the go command work on a program whose files stand elsewhere.
func goOverlay(t *testing.T, files map[string]string, command string) string {
	t.Helper()
	dir, err := filepath.Abs("contractcheck")
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for name, file := range files {
		if replace[filepath.Join(dir, name)], err = filepath.Abs(file); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(name, overlay, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", command, "-overlay", name, enokiPath+"/cmd/enoki/contractcheck")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s%s", command, err, out, stderr.String())
	}
	return string(out)
}

// TestContractPage follows docs/contract.md: it saves the page's service, runs
// its commands, and compiles its program with the contract that comes out.
func TestContractPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "contract.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "services/register.py", codeBlock(t, string(page), "python"))
	program := strings.NewReplacer(
		`"example.com/shop/`, `"`+enokiPath+`/cmd/enoki/contractcheck/`,
		"package main", "package page", // what is not a main is compiled and not linked, which would take longer
	).Replace(codeBlock(t, string(page), "go"))
	write(t, dir, "main.go", program)
	t.Run("commands", func(t *testing.T) {
		t.Chdir(dir)
		runPage(t, readExamples(string(page)))
	})
	goOverlay(t, map[string]string{
		"main.go":                 filepath.Join(dir, "main.go"),
		"registerapi/register.go": filepath.Join(dir, "registerapi", "register.go"),
	}, "build")
}

func runPage(t *testing.T, examples []docExample) {
	t.Helper()
	if len(examples) < 2 {
		t.Fatalf("only %d examples were found in docs/contract.md", len(examples))
	}
	for _, e := range examples {
		var got string
		if name, found := strings.CutPrefix(e.command, "cat "); found {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got = string(text)
		} else {
			stdout, stderr, _ := run(t, "", shellWords(t, e.command)[1:]...)
			got = stdout + stderr
		}
		if !e.matches(got) {
			t.Errorf("docs/contract.md: $ %s\nshows:\n%s\nbut it prints:\n%s", e.command, e.output, got)
		}
	}
}

// codeBlock returns the first block of a page in a language.
func codeBlock(t *testing.T, page, language string) string {
	t.Helper()
	_, rest, _ := strings.Cut(page, "\n```"+language+"\n")
	code, _, found := strings.Cut(rest, "\n```\n")
	if !found {
		t.Fatalf("the page has no block of %s", language)
	}
	return code + "\n"
}

func TestContractRefuses(t *testing.T) {
	dir := t.TempDir()
	source := func(name, text string) string {
		write(t, dir, name, text)
		return filepath.Join(dir, name)
	}
	service := "from nameko.rpc import rpc\nclass S%s:\n    name = %s\n    @rpc\n    def hello(self): pass\n"
	fill := func(class, name string) string {
		return strings.Replace(strings.Replace(service, "%s", class, 1), "%s", name, 1)
	}
	one := source("one.py", fill("1", `"one"`)+fill("2", `"two"`))
	configured := source("configured.py", fill("", `config["NAME"]`))
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no file":         {nil, exitUsage, "the Python file of the service is missing"},
		"arguments":       {[]string{"register.py", "push.py"}, exitUsage, "at most 1 arg"},
		"two files":       {[]string{"register.py", "--from", "push.py"}, exitUsage, "there are two files"},
		"package":         {[]string{"--from", one, "--package", "my-api"}, exitUsage, "--package my-api can't be"},
		"file not there":  {[]string{"--from", filepath.Join(dir, "none.py")}, 1, "none.py"},
		"not Python":      {[]string{"--from", source("bad.py", "class A:\n  x = (1\n")}, 3, `bad.py:2: "(" is never closed`},
		"no service":      {[]string{"--from", source("empty.py", "x = 1\n")}, 4, "empty.py: no Nameko service"},
		"another service": {[]string{"--from", one, "--service", "three"}, 4, "no service three; there is one, two"},
		"no name":         {[]string{"--from", configured}, 4, `configured.py:2: class S has @rpc methods, but its name is config["NAME"]`},
		"no method": {[]string{"--from", source("odd.py", strings.Replace(fill("", `"odd"`), "hello", "größe", 1))}, 3,
			"odd.py:2: class S has no method for a contract: größe is not here"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := run(t, "", append([]string{"contract"}, test.args...)...)
			if code != test.code || !strings.Contains(stderr, test.want) || stdout != "" {
				t.Errorf("it ends with %d and says %q (%q), want %d and %q", code, stderr, stdout, test.code, test.want)
			}
		})
	}
	if out := must(t, "contract", "--from", configured, "--service", "given"); !strings.Contains(out, "type Given struct") {
		t.Errorf("the name given is not that of\n%s", out)
	}
	if out := must(t, "contract", "--from", one, "--service", "two"); !strings.Contains(out, "package twoapi") || strings.Contains(out, "type One") {
		t.Errorf("not the service two alone:\n%s", out)
	}
}

// TestContractFile is about --output, which never writes over a file.
func TestContractFile(t *testing.T) {
	source, err := filepath.Abs("testdata/contract/register.py")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	args := []string{"contract", "--from", source, "--package", "people", "-o", "api/people/register.go", "--json"}
	var answer jsonContract
	if err := json.Unmarshal([]byte(must(t, args...)), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Package != "people" || answer.Source != "" || len(answer.Services) != 1 || len(answer.Services[0].Methods) != 3 {
		t.Errorf("the answer is %+v", answer)
	}
	written, err := os.ReadFile("api/people/register.go")
	if err != nil || !bytes.Contains(written, []byte("\npackage people\n")) {
		t.Errorf("%v in\n%s", err, written)
	}
	if _, stderr, code := run(t, "", args...); code != 5 || !strings.Contains(stderr, "may hold edits of yours") {
		t.Errorf("the second time it ends with %d and says %s", code, stderr)
	}
	if err := json.Unmarshal([]byte(must(t, "contract", "--from", source, "--json")), &answer); err != nil || !strings.Contains(answer.Source, "package registerapi") {
		t.Errorf("%v: %+v", err, answer)
	}
	if _, err := os.Stat("register.go"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without -o there is a file: %v", err)
	}
}

// FuzzContract holds the command to Go that is formatted, whatever the Python.
func FuzzContract(f *testing.F) {
	for _, source := range contractSources(f) {
		text, err := os.ReadFile(source)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		m, err := pysource.Parse("fuzz.py", src)
		if err != nil {
			return // FuzzParse looks after that
		}
		services, nameless := contract.Services(m)
		if services = append(services, nameless...); len(services) == 0 {
			return
		}
		file, err := contract.Write(packageName(services, "fuzz.py"), "fuzz.py", m, services, nil, nil)
		if err != nil {
			if !strings.Contains(err.Error(), "has no method for a contract") {
				t.Fatal(err)
			}
			return
		}
		if again, err := format.Source(file.Source); err != nil || !bytes.Equal(again, file.Source) {
			t.Fatalf("gofmt makes of it (%v)\n%s\nof\n%s", err, again, file.Source)
		}
	})
}
