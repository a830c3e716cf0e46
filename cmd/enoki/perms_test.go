package main

import (
	"strings"
	"testing"
)

// TestPerms: the rights are those of what a service says it handles, or of what
// it is told.
func TestPerms(t *testing.T) {
	url := startEmbedded(t)
	serve(t, url)
	t.Setenv(brokerVariable, url)
	must(t, "services", "push", "--wait", "30s")
	asked := must(t, "perms", "push", "--user", "shop", "--vhost", "prod")
	told := must(t, "perms", "push", "--offline", "--handles", "comments.posted", "--user", "shop", "--vhost", "prod")
	if asked != told {
		t.Errorf("the service says\n%s\nand --handles\n%s", asked, told)
	}
	for _, want := range []string{"rabbitmqctl set_permissions -p 'prod' 'shop' '^(", "rpc-push|", `evt-comments-posted--push\..+`} {
		if !strings.Contains(asked, want) {
			t.Errorf("%q is not in\n%s", want, asked)
		}
	}
	for line := range strings.Lines(asked) {
		if strings.HasPrefix(line, "write") && strings.Contains(line, `comments\.events`) {
			t.Errorf("it may emit what it only handles: %s", line)
		}
	}
	if _, stderr, code := run(t, "", "perms", "push", "--offline", "--handles", "posted"); code != exitUsage || !strings.Contains(stderr, "SOURCE.EVENT") {
		t.Errorf("code %d: %s", code, stderr)
	}
	if _, stderr, code := run(t, "", "perms", "nobody"); code == 0 || !strings.Contains(stderr, "--offline") {
		t.Errorf("code %d: %s", code, stderr)
	}
}
