package found

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/host"
)

// errEnough ends a run once its settings were taken.
var errEnough = errors.New("enough")

// configure has app read its settings, from a file too when there is text for
// one, and returns what it says and its exit code, 1 when they were taken.
func configure(t *testing.T, app *host.App, file string, args ...string) (said string, code int) {
	t.Helper()
	if file != "" {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	var log bytes.Buffer
	err := app.Run(context.Background(), append(args, "--log-format=json"), io.Discard, &log, func() ([]*enoki.Service, error) {
		return nil, errEnough
	})
	return log.String(), host.ExitCode(err)
}

// refused fails unless the settings were refused by words.
func refused(t *testing.T, said string, code int, words string) {
	t.Helper()
	if code != 2 || !strings.Contains(said, words) {
		t.Errorf("it ends with %d and says %s, want 2 and %q", code, said, words)
	}
}

func TestEmptyBrokerStartsAPrivateOne(t *testing.T) {
	for _, file := range []string{"broker: ${NOSUCH}", "broker:", "AMQP_URI: ${NOSUCH}"} {
		said, code := configure(t, new(host.App), file)
		refused(t, said, code, "has no value")
	}
	said, code := configure(t, new(host.App), "", "--broker=")
	refused(t, said, code, "--broker: is empty")
	t.Setenv("ENOKI_BROKER", "")
	said, code = configure(t, new(host.App), "")
	refused(t, said, code, "ENOKI_BROKER: is empty")
}

func TestMisspeltVariableIsIgnored(t *testing.T) {
	t.Setenv("ENOKI_WROKERS", "5")
	said, code := configure(t, new(host.App), "")
	refused(t, said, code, "unknown variable ENOKI_WROKERS; did you mean ENOKI_WORKERS?")
	t.Setenv("ENOKI_WORKERS", "5") // then the other one is another program's
	t.Setenv("ENOKI_FROM_ELSEWHERE", "x")
	said, code = configure(t, new(host.App), "")
	for _, name := range []string{"ENOKI_WROKERS", "ENOKI_FROM_ELSEWHERE"} {
		if code != 1 || !strings.Contains(said, `"WARN","msg":"variable `+name) {
			t.Errorf("it ends with %d and says %s, want a warning of %s", code, said, name)
		}
	}
}

func TestNamekoFileWithForeignKeys(t *testing.T) {
	var app host.App
	uris := map[string]string{}
	app.Value("DB_URIS", &uris, "databases")
	said, code := configure(t, &app, `
AMQP_URI: pyamqp://guest:guest@${RABBIT_HOST:localhost}
DB_URIS:
  'orders:Base': postgresql://${DB_HOST:localhost}/orders
SENTRY: {DSN: https://hush@example.org}
`)
	if code != 1 || !strings.Contains(said, "key SENTRY") || strings.Contains(said, "hush") {
		t.Errorf("it ends with %d and says %s", code, said)
	}
	if uris["orders:Base"] != "postgresql://localhost/orders" {
		t.Errorf("DB_URIS is %v", uris)
	}
}
