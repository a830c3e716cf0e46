package enoki_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/enoki-go/enoki"

// floors says on which floor each package stands. A package may import what
// stands on a lower floor, never its neighbours. A key that ends in "/..."
// covers everything below it; the longest key that fits counts.
var floors = map[string]int{
	"cmd/enoki":          7,
	"cmd/enoki/contract": 6,

	"host": 6,

	"outbox/outboxtest": 6,
	"outbox/bolt":       6,
	"outbox/postgres":   6,

	"web":        5,
	"nameko":     5,
	"serializer": 5,
	"enokitest":  5,
	"deadletter": 5,
	"outbox":     5,

	".": 4, // package enoki

	"entrypoint": 3,

	"internal/callpolicy": 2,
	"internal/contract":   2,

	"fault":                1,
	"resilience/adaptive":  1,
	"internal/trail":       1,
	"broker/amqp":          1,
	"broker/nats":          1,
	"broker/nats/embedded": 1,
	"broker/memory":        1,
	"broker/brokertest":    1,

	"broker":           0,
	"broker/amqp/wire": 0,
	"telemetry":        0,
	"resilience":       0,
	"inbox":            0,
	"websocket":        0,

	"internal/tag": 0,

	"internal/...": leaf,

	"examples/...": outside,
	"test/...":     outside,
	"scripts/...":  outside,
}

const (
	leaf    = -1  // the standard library only; open to all
	outside = 100 // programs around the library: may import anything, imported by nobody
)

// onlyImporters names, for a library of others, the packages of ours that may
// import it, its subpackages included.
var onlyImporters = map[string][]string{
	"github.com/rabbitmq/amqp091-go":     {"test/..."},                // a client that keeps none of our rules
	"github.com/nats-io/nats.go":         {"broker/nats", "test/..."}, // in test, the same
	"github.com/nats-io/nats-server/v2":  {"broker/nats/embedded"},
	"github.com/danielgtaylor/huma/v2":   {"web"},
	"github.com/go-json-experiment/json": {"web"},
	"github.com/failsafe-go/failsafe-go": {"resilience/adaptive"},
	"github.com/sony/gobreaker/v2":       {"resilience"},
	"github.com/coder/websocket":         {"websocket", "web", "test/..."}, // in web, its tests are clients
	"github.com/tinylib/msgp":            {"serializer"},
	"github.com/spf13/cobra":             {"cmd/enoki"},
	"github.com/santhosh-tekuri":         {"test/..."},
	"github.com/redis/go-redis/v9":       {"examples/..."},
	"github.com/jackc/pgx/v5":            {"outbox/postgres"}, // its tests are programs that bring a driver
	"go.etcd.io/bbolt":                   {"outbox/bolt", "examples/...", "test/..."},
}

// testImporters names, for a library of others, the packages whose tests may
// import it, too: there client and server test each other.
var testImporters = map[string][]string{
	"github.com/rabbitmq/amqp091-go":    {"broker/amqp/...", "broker/amqp"},
	"github.com/nats-io/nats.go":        {"broker/nats/...", "broker/nats"},
	"github.com/nats-io/nats-server/v2": {"broker/nats/...", "broker/nats"},
}

// noThirdParty are the packages that stand on the standard library and on
// Enoki alone.
var noThirdParty = []string{"broker", "broker/amqp/wire", "broker/memory", "fault", "internal/contract", "internal/trail", "internal/callpolicy", "entrypoint", "."}

// pulls are the modules of others that an import of a package may bring along,
// by whatever ways. Our goal for the root is one.
var pulls = map[string][]string{
	"broker":        {},
	"broker/memory": {},
	"inbox":         {},
	"resilience":    {"github.com/sony/gobreaker/v2"},
	"fault":         {"github.com/sony/gobreaker/v2"},
	"entrypoint":    {"github.com/sony/gobreaker/v2"},
	".":             {"github.com/sony/gobreaker/v2"},
	"websocket":     {"github.com/coder/websocket"},
	"telemetry":     {"github.com/VictoriaMetrics/metrics", "github.com/valyala/fastrand", "github.com/valyala/histogram"},
	"broker/amqp":   {},
	"broker/nats": {
		"github.com/klauspost/compress", "github.com/nats-io/nats.go", "github.com/nats-io/nkeys", "github.com/nats-io/nuid",
		"golang.org/x/crypto", "golang.org/x/sys",
	},
}

// meaningless are names that say nothing about what a package gives.
var meaningless = []string{"util", "utils", "common", "base", "helper", "helpers", "misc", "shared"}

// TestFloors holds the module to its layout: imports go down only.
func TestFloors(t *testing.T) {
	t.Parallel()
	for _, p := range listPackages(t) {
		for _, f := range p.files(t) {
			for _, imported := range f.imports {
				if broken := brokenRule(p.path, imported.path, f.test); broken != "" {
					t.Errorf("%s: imports %s: %s", f.name, imported.path, broken)
				}
				if imported.blank && imported.path != "embed" {
					t.Errorf("%s: imports %s blank: only embed may be, nothing registers itself", f.name, imported.path)
				}
			}
			if f.hasInit {
				t.Errorf("%s: declares func init: nothing runs before main", f.name)
			}
		}
		if slices.Contains(meaningless, p.Name) {
			t.Errorf("%s: package name %s says nothing about what it gives", p.Dir, p.Name)
		}
	}
}

// TestClosures holds what a package pulls in to the table, by all the imports
// below it.
func TestClosures(t *testing.T) {
	t.Parallel()
	closures := listClosures(t)
	for from, allowed := range pulls {
		found, ok := closures[from]
		if !ok {
			t.Errorf("pulls names %s, and there is no such package", from)
		}
		for _, broken := range brokenClosure(found, allowed) {
			t.Errorf("%s: %s", from, broken)
		}
	}
}

func TestClosureRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		found, allowed []string
		broken         int
	}{
		{found: []string{"a.org/a"}, allowed: []string{"a.org/a"}},
		{found: []string{"a.org/a"}, broken: 1},
		{allowed: []string{"a.org/a"}, broken: 1},
		{found: []string{"a.org/a"}, allowed: []string{"a.org/b"}, broken: 2},
	} {
		if broken := brokenClosure(c.found, c.allowed); len(broken) != c.broken {
			t.Errorf("pulls in %q, may %q: got %q", c.found, c.allowed, broken)
		}
	}
}

func brokenClosure(found, allowed []string) (broken []string) {
	for _, m := range found {
		if !slices.Contains(allowed, m) {
			broken = append(broken, "its imports pull in "+m+"; go mod why -m says by which way")
		}
	}
	for _, m := range allowed {
		if !slices.Contains(found, m) {
			broken = append(broken, "it doesn't pull in "+m+" any more; strike that from pulls")
		}
	}
	return broken
}

// TestNothingIsStale finds lines of the tables that nothing stands behind.
func TestNothingIsStale(t *testing.T) {
	t.Parallel()
	var paths []string
	imports := map[string][]string{} // of each package
	for _, p := range listPackages(t) {
		paths = append(paths, p.path)
		for _, f := range p.files(t) {
			for _, imported := range f.imports {
				imports[p.path] = append(imports[p.path], imported.path)
			}
		}
	}
	for _, pattern := range stale(slices.Collect(maps.Keys(floors)), paths) {
		t.Errorf("floors has a line for %s, and there is no such package", pattern)
	}
	for _, pattern := range stale(noThirdParty, paths) {
		t.Errorf("noThirdParty names %s, and there is no such package", pattern)
	}
	for library, importers := range onlyImporters {
		var really []string
		for from, imported := range imports {
			if slices.ContainsFunc(imported, func(to string) bool { return to == library || strings.HasPrefix(to, library+"/") }) {
				really = append(really, from)
			}
		}
		for _, pattern := range stale(importers, really) {
			t.Errorf("onlyImporters lets %s import %s, and it doesn't", pattern, library)
		}
	}
}

func TestStale(t *testing.T) {
	t.Parallel()
	got := stale([]string{"host", "functions", "test/...", "gone/..."}, []string{"host", "test/e2e", "web"})
	if !slices.Equal(got, []string{"functions", "gone/..."}) {
		t.Errorf("got %q", got)
	}
}

// stale are the patterns that cover none of the packages.
func stale(patterns, packages []string) []string {
	return slices.DeleteFunc(slices.Clone(patterns), func(pattern string) bool {
		return slices.ContainsFunc(packages, func(p string) bool { return covers(pattern, p) })
	})
}

// TestFloorRules shows each rule breaking once.
func TestFloorRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to string
		test     bool
		allowed  bool
	}{
		{from: "host", to: module + "/broker/amqp", allowed: true},
		{from: "host", to: module, allowed: true},
		{from: "web", to: module + "/internal/x", allowed: true},
		{from: ".", to: "net/http", allowed: true},
		{from: "broker/amqp", to: module + "/broker/brokertest", test: true, allowed: true},
		{from: "broker/amqp", to: "go.uber.org/goleak", test: true, allowed: true},
		{from: "broker/amqp", to: "github.com/rabbitmq/amqp091-go", test: true, allowed: true},
		{from: "test/e2e", to: module + "/host", allowed: true},
		{from: "broker/nats", to: "github.com/nats-io/nats-server/v2/server", test: true, allowed: true},
		{from: "broker/nats/embedded", to: "github.com/nats-io/nats.go", test: true, allowed: true},

		{from: ".", to: module + "/host"},                                 // upwards
		{from: "broker/amqp", to: module + "/broker/nats"},                // sideways
		{from: "broker/amqp", to: module + "/broker/brokertest"},          // sideways, outside a test
		{from: "broker", to: module + "/broker/memory"},                   // upwards
		{from: "internal/x", to: "github.com/spf13/cobra"},                // leaf with a library
		{from: "internal/x", to: module + "/broker"},                      // leaf with a floor
		{from: "nowhere", to: "fmt"},                                      // no floor
		{from: "host", to: module + "/nowhere"},                           // to no floor
		{from: "host", to: module + "/test/e2e"},                          // to the outside
		{from: "host", to: "github.com/nats-io/nats.go/jetstream"},        // not the only importer
		{from: "broker/nats", to: "github.com/nats-io/nats-server/v2"},    // the server, outside a test
		{from: ".", to: "github.com/prometheus/client_golang/prometheus"}, // root without libraries
		{from: "broker/nats/embedded", to: module + "/broker/nats"},       // sideways
		{from: "broker/nats", to: module + "/broker/nats/embedded"},       // sideways
		{from: "examples/x", to: "github.com/rabbitmq/amqp091-go"},        // tests' library
		{from: "broker/amqp", to: "github.com/rabbitmq/amqp091-go"},       // the same, outside a test
		{from: "broker/memory", to: "go.uber.org/atomic"},                 // no third party
		{from: "cmd/enoki", to: module + "/examples/hello"},               // to the outside
		{from: "telemetry", to: module + "/resilience"},                   // sideways
	} {
		broken := brokenRule(c.from, c.to, c.test)
		if c.allowed != (broken == "") {
			t.Errorf("%s imports %s (test: %v): allowed is %v, got %q", c.from, c.to, c.test, c.allowed, broken)
		}
	}
}

// brokenRule says which rule an import breaks, or nothing. from is relative
// to the module, to is an import path.
func brokenRule(from, to string, inTest bool) string {
	floor, ok := floorOf(from)
	if !ok {
		return "package " + from + " has no floor; give it one in floors_test.go"
	}
	if relative, ours := inModule(to); ours {
		return brokenFloor(from, relative, floor, inTest)
	}
	if isStandard(to) {
		return ""
	}
	return brokenLibrary(from, to, floor, inTest)
}

func brokenFloor(from, to string, floor int, inTest bool) string {
	target, ok := floorOf(to)
	switch {
	case !ok:
		return "package " + to + " has no floor; give it one in floors_test.go"
	case from == to, target == leaf && floor != leaf, floor == outside:
		return "" // an external test of itself; leaves are open to all
	case floor == leaf:
		return "internal packages stand on the standard library alone"
	case target == outside:
		return "examples, tests and scripts are imported by nobody"
	case inTest && (to == "broker/brokertest" || to == "broker/memory" || to == "outbox/outboxtest"):
		return "" // made for tests
	case inTest && from == "broker/nats" && to == "broker/nats/embedded":
		return "" // the server its tests talk to
	case target < floor:
		return ""
	}
	return fmt.Sprintf("floor %d may not import floor %d: imports go down only", floor, target)
}

func brokenLibrary(from, to string, floor int, inTest bool) string {
	if floor == leaf {
		return "internal packages stand on the standard library alone"
	}
	for library, importers := range onlyImporters {
		if to != library && !strings.HasPrefix(to, library+"/") {
			continue
		}
		if inTest {
			importers = slices.Concat(importers, testImporters[library])
		}
		if !slices.ContainsFunc(importers, func(pattern string) bool { return covers(pattern, from) }) {
			return "only " + strings.Join(importers, ", ") + " may import " + library
		}
	}
	if !inTest && slices.Contains(noThirdParty, from) {
		return "this package stands on the standard library and Enoki alone"
	}
	return ""
}

func floorOf(relative string) (int, bool) {
	best, longest, found := "", 0, false
	for pattern := range floors {
		n := len(strings.TrimSuffix(pattern, "/...")) // internal/tag fits better than internal/..., and is as long
		if covers(pattern, relative) && (!found || n > longest) {
			best, longest, found = pattern, n, true
		}
	}
	return floors[best], found
}

func covers(pattern, relative string) bool {
	above, tree := strings.CutSuffix(pattern, "/...")
	return relative == above || tree && strings.HasPrefix(relative, above+"/")
}

func inModule(importPath string) (relative string, ok bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func isStandard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// listedPackage is what `go list` says of a package of this module.
type listedPackage struct {
	Dir, Name, ImportPath              string
	GoFiles, TestGoFiles, XTestGoFiles []string
	IgnoredGoFiles                     []string // by build constraints: of other systems

	path string // relative to the module
}

func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listedPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p listedPackage
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		p.path, _ = inModule(p.ImportPath)
		packages = append(packages, p)
	}
	if len(packages) < 5 {
		t.Fatalf("go list shows %d packages; that can't be the whole module", len(packages))
	}
	return packages
}

// listClosures gives the modules of others that each package pulls in, by the
// package's path in this module.
func listClosures(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Module,Deps", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	type listed struct {
		ImportPath string
		Module     *struct{ Path string }
		Deps       []string
	}
	moduleOf := map[string]string{}
	var ours []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p listed
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		switch {
		case p.Module == nil: // the standard library
		case p.Module.Path == module:
			ours = append(ours, p)
		default:
			moduleOf[p.ImportPath] = p.Module.Path
		}
	}
	closures := map[string][]string{}
	for _, p := range ours {
		relative, _ := inModule(p.ImportPath)
		closures[relative] = []string{}
		for _, dependency := range p.Deps {
			if m := moduleOf[dependency]; m != "" && !slices.Contains(closures[relative], m) {
				closures[relative] = append(closures[relative], m)
			}
		}
	}
	return closures
}

type sourceFile struct {
	name    string // relative to the module
	test    bool
	imports []importSpec
	hasInit bool
}

type importSpec struct {
	path  string
	blank bool
}

func (p listedPackage) files(t *testing.T) []sourceFile {
	t.Helper()
	var files []sourceFile
	for _, name := range slices.Concat(p.GoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles) {
		syntax, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, readFile(syntax, path.Join(p.path, name)))
	}
	return files
}

func readFile(syntax *ast.File, name string) sourceFile {
	f := sourceFile{name: name, test: strings.HasSuffix(name, "_test.go")}
	for _, spec := range syntax.Imports {
		importPath, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the compiler refuses it
		}
		f.imports = append(f.imports, importSpec{path: importPath, blank: spec.Name != nil && spec.Name.Name == "_"})
	}
	for _, declaration := range syntax.Decls {
		if fn, ok := declaration.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			f.hasInit = true
		}
	}
	return f
}
