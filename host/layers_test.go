package host

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// resolved is what settings come to: those of the host, and one of each type
// of a program.
type resolved struct {
	*config
	store string
	limit int
	fast  bool
	every time.Duration
}

// resolve reads settings as Run does, with a config file when there is text
// for one. The file's name in errors is "file".
func resolve(t *testing.T, args []string, env, file string) (resolved, error) {
	t.Helper()
	var app App
	store := app.String("store", "default", "`URL` of the store")
	limit := app.Int("limit", 5, "how many")
	fast := app.Bool("fast", false, "hurry")
	every := app.Duration("sweep-every", time.Hour, "time between sweeps")
	l := newLayers(app.settings)
	path := filepath.Join(t.TempDir(), "file")
	if file != "" {
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	_, err := l.resolve(args, variables(env), namesOf(env))
	if err != nil {
		err = errorText(strings.ReplaceAll(err.Error(), path, "file"))
	}
	return resolved{l.config, *store, *limit, *fast, *every}, err
}

type errorText string

func (e errorText) Error() string { return string(e) }

func TestDefaults(t *testing.T) {
	got, err := resolve(t, nil, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if want := defaultConfig(); !reflect.DeepEqual(got.config, want) {
		t.Errorf("got %+v, want %+v", got.config, want)
	}
	if got.store != "default" || got.limit != 5 || got.fast || got.every != time.Hour {
		t.Errorf("the program's own are %+v", got)
	}
}

func TestFlagsOverEnvironmentOverFileOverDefaults(t *testing.T) {
	const file = "workers: 1\nstore: file\nlimit: 1"
	for _, c := range []struct {
		args          []string
		env, file     string
		workers       int
		store, source string
	}{
		{nil, "", "", 100, "default", "default"},
		{nil, "", file, 1, "file", "file"},
		{nil, "ENOKI_WORKERS=2\nENOKI_STORE=env", file, 2, "env", "environment"},
		{[]string{"--workers=3", "--store", "flag"}, "ENOKI_WORKERS=2\nENOKI_STORE=env", file, 3, "flag", "flag"},
		{nil, "ENOKI_WORKERS=\nENOKI_STORE=", file, 1, "file", "file below an empty variable"},
	} {
		got, err := resolve(t, c.args, c.env, c.file)
		if err != nil || got.workers != c.workers || got.store != c.store {
			t.Errorf("%s: workers %d, store %q (%v), want %d, %q", c.source, got.workers, got.store, err, c.workers, c.store)
		}
	}
}

func TestEveryTypeFromEverywhere(t *testing.T) {
	want := resolved{store: "s", limit: 7, fast: true, every: 90 * time.Second}
	for name, c := range map[string]struct {
		args      []string
		env, file string
	}{
		"flags":                {args: []string{"--store=s", "--limit=7", "--fast", "--sweep-every=1m30s"}},
		"environment":          {env: "ENOKI_STORE=s\nENOKI_LIMIT=7\nENOKI_FAST=yes\nENOKI_SWEEP_EVERY=90"},
		"file":                 {file: "store: s\nlimit: 7\nfast: true\nsweep-every: 1m30s"},
		"file, other notation": {file: "store: 's'\nlimit: 0x7\nfast: on\nsweep-every: 90"},
		"file with variables":  {file: "store: ${S}\nlimit: ${L}\nfast: ${F}\nsweep-every: ${E}", env: "S=s\nL=7\nF=true\nE=90s"},
		"file with defaults":   {file: "store: ${S:s}\nlimit: ${L:7}\nfast: ${F:yes}\nsweep-every: ${E:1.5m}"},
	} {
		got, err := resolve(t, c.args, c.env, c.file)
		got.config = nil
		if err != nil || got != want {
			t.Errorf("%s: %+v (%v), want %+v", name, got, err, want)
		}
	}
}

// TestKeyWithoutAValue: where the default is empty, empty is what it says.
func TestKeyWithoutAValue(t *testing.T) {
	got, err := resolve(t, nil, "", "tls-ca: ${NOT_SET}\nnats-creds:\naccept: ~\nhttp: ${NOT_SET::80}")
	if err != nil || got.tlsCA != "" || got.natsCreds != "" || got.accept != "" || got.http != ":80" {
		t.Errorf("%+v, %v", got, err)
	}
	const want = "has no value (a variable that is not set gives none); leave the key out to take the default, or write ${NAME:default}"
	for _, file := range []string{"broker: ${NOT_SET}", "broker:", "broker: ~", "broker: ''", "broker: ${NOT_SET:}", "AMQP_URI: ${NOT_SET}",
		"workers: ${NOT_SET}", "store: ${NOT_SET}", "fast:", "AMQP_SSL: ${NOT_SET}"} {
		key, _, _ := strings.Cut(file, ":")
		if _, err := resolve(t, nil, "", file); err == nil || !strings.HasSuffix(err.Error(), key+": "+want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestEmptyBroker(t *testing.T) {
	for source, c := range map[string]struct {
		args []string
		env  string
	}{
		"ENOKI_BROKER": {env: "ENOKI_BROKER="},
		"--broker":     {args: []string{"--broker", ""}},
	} {
		if _, err := resolve(t, c.args, c.env, ""); err == nil || err.Error() != source+": is empty; give a value, or leave it out" {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestVariablesThatNameNoSetting(t *testing.T) {
	for env, want := range map[string]struct {
		err     string
		foreign []string
	}{
		"ENOKI_WROKERS=5":                  {err: "unknown variable ENOKI_WROKERS; did you mean ENOKI_WORKERS? If it is another program's, set ENOKI_WORKERS too"},
		"ENOKI_WORKER=5\nENOKI_BROKR=x":    {err: "ENOKI_BROKER"},
		"ENOKI_STROE=x":                    {err: "did you mean ENOKI_STORE?"},
		"ENOKI_workers=5":                  {err: "did you mean ENOKI_WORKERS?"},
		"ENOKI_LOGLEVEL=debug":             {err: "did you mean ENOKI_LOG_LEVEL?"},
		"ENOKI_WORKER=5\nENOKI_WORKERS=10": {foreign: []string{"variable ENOKI_WORKER"}},
		"ENOKI_PAYMENTS=x\nHOME=/\nENOKI_NO_SKIP=1\nENOKI_TEST_AS_COMMAND=1\nENOKI_SEED=1\nENOKI_KILLS=5\nENOKI_HOST_TEST_CHILD=x": {foreign: []string{
			"variable ENOKI_HOST_TEST_CHILD", "variable ENOKI_KILLS", "variable ENOKI_NO_SKIP", "variable ENOKI_PAYMENTS", "variable ENOKI_SEED", "variable ENOKI_TEST_AS_COMMAND",
		}},
	} {
		got, err := resolve(t, nil, env, "")
		if want.err == "" && err != nil || want.err != "" && (err == nil || !strings.Contains(err.Error(), want.err)) {
			t.Errorf("%s: %v, want %s", env, err, want.err)
		}
		if want.err == "" && !slices.Equal(got.foreign, want.foreign) {
			t.Errorf("%s: tells of %q, want %q", env, got.foreign, want.foreign)
		}
	}
}

func TestConfigFileFromTheEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("workers: 9"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := resolve(t, nil, "ENOKI_CONFIG="+path, "")
	if err != nil || got.workers != 9 {
		t.Errorf("workers %d (%v), want 9", got.workers, err)
	}
}

func TestNamekoFile(t *testing.T) {
	got, err := resolve(t, nil, "RABBIT_PASSWORD=hush", `
AMQP_URI: pyamqp://${RABBIT_USER:guest}:${RABBIT_PASSWORD:guest}@${RABBIT_HOST:localhost}:${PORT:5672}/shop
WEB_SERVER_ADDRESS: ${HTTP_PORT:8080}
rpc_exchange: 'other-rpc'
max_workers: 20
parent_calls_tracked: 3
HEARTBEAT: 30
serializer: msgpack
ACCEPT: [json, yaml]
PREFETCH_COUNT: 20
LOGIN_METHOD: EXTERNAL
AUTO_DELETE_EVENT_EXCHANGES: true
DECLARE_EVENT_EXCHANGES: ${DECLARE:false}
TRANSPORT_OPTIONS: {max_retries: 5}
AMQP_SSL:
  ca_certs: /ca.pem
  certfile: /cert.pem
  keyfile: /key.pem
  cert_reqs: CERT_REQUIRED
LOGGING:
  version: 1
  handlers: {console: {class: logging.StreamHandler}}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	want.broker, want.tls = "amqps://guest:hush@localhost:5672/shop", true
	want.http, want.rpcExchange, want.workers, want.tracked = "0.0.0.0:8080", "other-rpc", 20, 3
	want.serializer, want.accept = "msgpack", "json,yaml"
	want.loginMethod, want.autoDeleteEvents, want.declareEvents = "EXTERNAL", true, false
	want.heartbeat, want.tlsCA, want.tlsCert, want.tlsKey = 30*time.Second, "/ca.pem", "/cert.pem", "/key.pem"
	want.ignored = []string{
		"PREFETCH_COUNT: a service takes as many messages as it has workers",
		"TRANSPORT_OPTIONS: a lost connection is always made again",
		"LOGGING: the log is set by log-level and log-format",
	}
	if !reflect.DeepEqual(got.config, want) {
		t.Errorf("got  %+v\nwant %+v", got.config, want)
	}
}

func TestNamekoAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"8000": "0.0.0.0:8000", "'8000'": "0.0.0.0:8000", "0.0.0.0:8000": "0.0.0.0:8000", "localhost:1": "localhost:1",
	} {
		got, err := resolve(t, nil, "", "WEB_SERVER_ADDRESS: "+text)
		if err != nil || got.http != want {
			t.Errorf("%s becomes %q (%v), want %q", text, got.http, err, want)
		}
	}
}

func TestAMQPSSLAsksForTLS(t *testing.T) {
	for file, want := range map[string]string{
		"AMQP_SSL: true\nbroker: amqp://h":   "amqps://h",
		"AMQP_SSL: true\nbroker: amqps://h":  "amqps://h",
		"AMQP_SSL: false\nbroker: amqp://h":  "amqp://h",
		"AMQP_SSL: true\nbroker: nats://h":   "nats://h",
		"AMQP_SSL: {}\nAMQP_URI: pyamqp://h": "amqps://h",
	} {
		if got, err := resolve(t, nil, "", file); err != nil || got.broker != want {
			t.Errorf("%q: %q (%v), want %q", file, got.broker, err, want)
		}
	}
}

func TestMistakesInAFileSayWhere(t *testing.T) {
	for file, want := range map[string]string{
		"wrokers: 1":                        "file:1:1: unknown key wrokers; did you mean workers?",
		"workers: 1\n\nMAX_WORKERS: 1":      "file:3:1: unknown key MAX_WORKERS; did you mean max_workers?",
		"AMQP_URI: amqp://h\nmax_worker: 1": "file:2:1: unknown key max_worker; did you mean max_workers?",
		"AMQP_URI: amqp://h\nconfig: x":     "file:2:1: unknown key config",
		"my_own: 1":                         "file:1:1: unknown key my_own",
		"config: x":                         "file:1:1: unknown key config",
		"workers: many":                     "file:1:10: workers: want a whole number, have text",
		"workers: 1.5":                      "file:1:10: workers: want a whole number, have a number",
		"workers: '5'":                      "file:1:10: workers: want a whole number, have text",
		"workers: true":                     "file:1:10: workers: want a whole number, have true or false",
		"workers:\n  - 1":                   "file:2:3: workers: want a whole number, have a list",
		"workers:\n  a: 1":                  "file:2:3: workers: want a whole number, have a mapping",
		"workers: 0":                        "file:1:10: workers: want 1 or more, have 0",
		"broker: [a, b]":                    "file:1:9: broker: want text, have a list",
		"broker: true":                      "file:1:9: broker: want text, have true or false",
		"broker: kafka://h":                 `file:1:9: broker: no driver for the broker scheme "kafka"; have nats, tls, ws, wss, amqp, amqps, pyamqp, embedded, memory`,
		"broker: localhost":                 "file:1:9: broker: the broker's URL has no scheme; write it as nats://host:4222 or amqp://user:password@host/vhost",
		"broker: embedded:?prot=1":          `file:1:9: broker: embedded: unknown parameter "prot"; have dir, port`,
		"broker: embedded:?port=x":          `file:1:9: broker: embedded: port "x" is no port; want 0 (a free one) to 65535`,
		"grace: 5 apples":                   `file:1:8: grace: want a duration such as "10s" or "1m30s", have text`,
		"grace: -1s":                        `file:1:8: grace: want a duration such as "10s" or "1m30s", have text`,
		"timeout: 0":                        "file:1:10: timeout: want more than 0, have 0s",
		"fast: maybe":                       "file:1:7: fast: want true or false, have text",
		"http: everywhere":                  `file:1:7: http: no address "everywhere"; want host:port, such as 127.0.0.1:8000 or :8000`,
		"log-level: loud":                   `file:1:12: log-level: no log level "loud": have debug, info, warn, error`,
		"log-format: xml":                   `file:1:13: log-format: no log format "xml": have auto, pretty, json`,
		"heartbeat: 0.1":                    "file:1:12: heartbeat: want 1s or more, have 100ms",
		"tls-cert: a":                       "file:1:11: tls-cert: tls-cert and tls-key go together; give both",
		"AMQP_URI: amqp://h\nbroker: x":     "file:2:1: broker says the same as AMQP_URI above; keep one of them",
		"serializer: pickle":                "file:1:13: serializer: serializer pickle is refused: a pickle runs code of whoever sent it; set json, msgpack or yaml on both sides",
		"ACCEPT: [json, xml]":               "file:1:9: ACCEPT: want json, msgpack or yaml",
		"AMQP_SSL: 1":                       "file:1:11: AMQP_SSL: want true, false or a mapping, have a whole number",
		"AMQP_SSL: {cert_reqs: CERT_NONE}":  "file:1:23: AMQP_SSL.cert_reqs: the broker's certificate is always verified; leave this out and give ca_certs",
		"AMQP_SSL: {cafile: x}":             "file:1:12: unknown key AMQP_SSL.cafile; did you mean certfile?",
		"- workers":                         `file:1:1: want settings, as in "broker: nats://127.0.0.1", have a list`,
		"workers: 1\nworkers: 2":            `file:2:1: mapping key "workers" already defined at [1:1]`,
		"wrokers: 1\nstroe: x":              "file:1:1: unknown key wrokers; did you mean workers?\nfile:2:1: unknown key stroe; did you mean store?",
	} {
		if _, err := resolve(t, nil, "", file); err == nil || err.Error() != want {
			t.Errorf("%q:\ngot  %v\nwant %s", file, err, want)
		}
	}
}

func TestMistakesInFlagsAndEnvironment(t *testing.T) {
	for _, c := range []struct{ args, env, want string }{
		{"--wrokers=1", "", "unknown flag --wrokers; did you mean --workers?"},
		{"--workers=x", "", `--workers: want a whole number, have "x"`},
		{"--workers", "", "flag needs an argument: --workers"},
		{"--workers=0", "", "--workers: want 1 or more, have 0"},
		{"--fast=maybe", "", `--fast: want true or false, have "maybe"`},
		{"--grace=NaN", "", `--grace: want a duration such as "10s" or "1m30s", have "NaN"`},
		{"--grace=1e300", "", `--grace: want a duration such as "10s" or "1m30s", have "1e300"`},
		{"service.go", "", `argument "service.go" is not wanted; settings are flags, such as --broker URL`},
		{"", "ENOKI_WORKERS=x", `ENOKI_WORKERS: want a whole number, have "x"`},
		{"", "ENOKI_BROKER=x://u:hush@h", `ENOKI_BROKER: no driver for the broker scheme "x"; have nats, tls, ws, wss, amqp, amqps, pyamqp, embedded, memory`},
		{"--config=/not/there", "", "cannot read the config file: open /not/there: no such file or directory"},
	} {
		if _, err := resolve(t, strings.Fields(c.args), c.env, ""); err == nil || err.Error() != c.want {
			t.Errorf("%s %s:\ngot  %v\nwant %s", c.args, c.env, err, c.want)
		}
	}
}

func TestErrorsHideWhatVariablesHold(t *testing.T) {
	for _, file := range []string{"workers: ${S}", "fast: ${S}", "grace: ${S}", "AMQP_SSL: ${S}", "serializer: ${S}", "workers: {a: ${S}}", "http: amqp://u:${S}@h"} {
		if _, err := resolve(t, nil, "S=hush", file); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", file, err)
		}
	}
}

func TestNamesThatCannotBeDeclared(t *testing.T) {
	for _, name := range []string{"", "-x", "a b", "help", "version", "config", "broker", "BROKER", "drain_delay", "store", "AMQP_URI", "serializer", "äh"} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			var app App
			app.String("store", "", "")
			app.Int(name, 0, "")
		})
	}
}

func TestShortDurationsInHelp(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Minute: "1m", time.Hour: "1h", 10 * time.Second: "10s", 90 * time.Second: "1m30s", 70 * time.Minute: "1h10m", 10 * time.Minute: "10m", 10 * time.Hour: "10h",
	} {
		if got := (durationValue{&d}).String(); got != want {
			t.Errorf("%d is %q, want %q", d, got, want)
		}
	}
}
