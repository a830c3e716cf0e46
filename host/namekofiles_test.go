package host

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestNamekoFilesLoadAsTheyAre reads files in the shapes that public projects
// have, with nothing declared.
func TestNamekoFilesLoadAsTheyAre(t *testing.T) {
	for name, want := range map[string]struct {
		broker  string
		foreign []string // keys
	}{
		"cluster.yaml": {"pyamqp://guest:guest@10.0.0.1:5672;pyamqp://guest:guest@10.0.0.2:5672", []string{"CONSUL"}},
		"minimal.yaml": {broker: "pyamqp://guest:guest@localhost"},
		"shop.yaml":    {"pyamqp://guest:hush@localhost:5672/", []string{"DB_URIS", "REDIS_URIS", "SENTRY", "RPC_TIMEOUT", "DEBUG"}},
		"tls.yaml":     {"amqps://guest:guest@localhost:5671//", []string{"defaults", "payment_gateway", "CORS_ALLOW_ORIGIN_REGEXS", "STATSD"}},
	} {
		source, err := os.ReadFile(filepath.Join("testdata", "nameko", name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := resolve(t, nil, "RABBIT_PASSWORD=hush", string(source))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.broker != want.broker {
			t.Errorf("%s: broker %s, want %s", name, got.broker, want.broker)
		}
		var foreign []string
		for _, line := range got.foreign {
			_, key, _ := strings.Cut(line, ": key ")
			foreign = append(foreign, key)
		}
		if !slices.Equal(foreign, want.foreign) {
			t.Errorf("%s: foreign keys %q, want %q", name, foreign, want.foreign)
		}
	}
}

// TestDeclaredMappingsAndLists declares what those files have.
func TestDeclaredMappingsAndLists(t *testing.T) {
	type gateway struct {
		URL     string `yaml:"url"`
		Timeout float64
		Retries int
	}
	type sentry struct {
		DSN    string         `json:"DSN"`
		Client map[string]any `json:"CLIENT_CONFIG"`
		Report *bool          `json:"REPORT_EXPECTED_EXCEPTIONS"`
	}
	var app App
	uris := map[string]string{"default": "goes"}
	var origins []string
	var pay gateway
	var guard sentry
	app.Value("DB_URIS", &uris, "databases")
	app.Value("CORS_ALLOW_ORIGIN_REGEXS", &origins, "who may ask")
	app.Value("payment_gateway", &pay, "who takes the money")
	app.Value("SENTRY", &guard, "who hears of faults")
	read := func(args []string, env string, files ...string) error {
		l := newLayers(app.settings)
		for _, file := range files {
			args = append(args, "--config", filepath.Join("testdata", "nameko", file))
		}
		_, err := l.resolve(args, variables(env), namesOf(env))
		return err
	}
	if err := read(nil, "DB_PASS=12345", "shop.yaml"); err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{
		"orders:Base":   "postgresql://${DB_USER:postgres}:password@localhost/orders", // quoted, as Nameko leaves it
		"payments:Base": "mysql+mysqlconnector://root:12345@localhost/payments",
	}; !reflect.DeepEqual(uris, want) {
		t.Errorf("DB_URIS is %v, want %v", uris, want)
	}
	if guard.DSN != "" || guard.Client["site"] != "shop" || guard.Report == nil || *guard.Report {
		t.Errorf("SENTRY is %+v", guard)
	}
	if err := read(nil, "", "tls.yaml"); err != nil {
		t.Fatal(err)
	}
	if want := (gateway{"https://pay.example.org", 3, 2}); pay != want {
		t.Errorf("payment_gateway is %+v, want %+v", pay, want)
	}
	if want := []string{`^https?://(\w+\.)?example\.org`}; !slices.Equal(origins, want) {
		t.Errorf("the list is %q, want %q", origins, want)
	}
	if err := read([]string{"--DB_URIS", `{a: "b${C}"}`}, `ENOKI_CORS_ALLOW_ORIGIN_REGEXS=["x", 5]`); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(uris, map[string]string{"a": "b${C}"}) || !slices.Equal(origins, []string{"x", "5"}) {
		t.Errorf("by flag and variable: %v, %q", uris, origins)
	}
}

func TestMisfitsOfAnyValueHideIt(t *testing.T) {
	type entry struct {
		Host string `yaml:"host"`
		Port int    `yaml:"port"`
	}
	for file, want := range map[string]string{
		"STATSD: {port: hush}":        "file:1:10: STATSD: entry.Port: want int, have string",
		"STATSD: {prot: 1}":           `file:1:10: STATSD: unknown field "prot"`,
		"STATSD: [hush]":              "file:1:9: STATSD: does not fit into host.entry",
		"STATSD: hush":                "file:1:9: STATSD: does not fit into host.entry",
		"STATSD: .inf":                "file:1:9: STATSD: want a value without infinity and NaN",
		"STATSD: {port: 1e99}":        "file:1:10: STATSD: does not fit into host.entry",
		"STATSD: {host: a, host: b}":  `file:1:19: mapping key "host" already defined at [1:10]`,
		"STATSD:\n  port: ${S}":       "file:2:3: STATSD: entry.Port: want int, have string",
		"STATSD: {host: h, port: 80}": "",
	} {
		var app App
		e := entry{Host: "default"}
		app.Value("STATSD", &e, "where counts go")
		l := newLayers(app.settings)
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := l.resolve([]string{"--config", path}, variables("S=hush"), nil)
		got := ""
		if err != nil {
			got = strings.ReplaceAll(err.Error(), path, "file")
		}
		if got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", file, got, want)
		}
		if want != "" && e.Host != "default" {
			t.Errorf("%s changes the default to %v", file, e)
		}
	}
}
