package main

import (
	"strings"
	"testing"

	"github.com/enoki-go/enoki/internal/testserver"
)

// TestContractLive watches a Nameko service that a Nameko client calls: with its
// source, whose arguments have no types, and without. Nothing is left on the
// broker.
func TestContractLive(t *testing.T) {
	rabbit := testserver.RabbitMQ(t)
	callRegister := startRegister(t, rabbit)
	before := brokerState(t, rabbit)
	watch := func(flags ...string) string {
		t.Helper()
		s := start(t, nil, append([]string{"contract", "--live", "register", "--broker", rabbit.URL(), "--count", "4", "--for", "5m"}, flags...)...)
		s.stderr.await(t, "watching calls to register", 1)
		callRegister()
		if code := s.wait(t); code != 0 {
			t.Fatalf("it ends with %d:\n%s", code, s.stderr)
		}
		return s.stdout.String()
	}
	for what, test := range map[string]struct {
		got  string
		want []string
	}{
		"with the source": {watch("--from", "testdata/shadow/register.py"), []string{
			"package registerapi\n",
			"CheckRegistered func(ctx context.Context, uID string) (*CheckRegisteredResult, error) `rpc:\"check_registered\" args:\"u_id\"`",
			"func(ctx context.Context, uID, name string) (RenameResult, error)     `rpc:\"rename\" args:\"u_id,name\"`",
			"// CheckRegisteredResult was seen in live calls.\ntype CheckRegisteredResult struct {\n\tCountry string `json:\"country\"`\n\tName    string `json:\"name\"`\n}",
		}},
		"without it": {watch(), []string{
			"package registerapi\n",
			"// Seen in 2 calls, of which 1 failed.",
			"(ctx context.Context, arg1 string, arg2, name *string) (RenameResult, error) `rpc:\"rename\" args:\"arg1,arg2?,*,name?\"`",
		}},
	} {
		for _, want := range test.want {
			if !strings.Contains(test.got, want) {
				t.Errorf("%s it writes\n%s\nwithout\n%s", what, test.got, want)
			}
		}
	}
	awaitState(t, rabbit, before)
}

func TestContractLiveRefuses(t *testing.T) {
	for want, words := range map[string][]string{
		"are two services":            {"--live", "a", "--service", "b", "--from", "x.py"},
		"is no time to watch for":     {"--live", "a", "--for", "0s"},
		"or a service that runs":      {},
		"live service is on RabbitMQ": {"--live", "a", "--broker", "nats://127.0.0.1:1"},
	} {
		_, stderr, code := run(t, "", append([]string{"contract"}, words...)...)
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%v: it ends with %d and says %q, want %d and %q", words, code, stderr, exitUsage, want)
		}
	}
}
