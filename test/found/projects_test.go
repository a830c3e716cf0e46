package found

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/deadletter"
	"github.com/enoki-go/enoki/host"
	"github.com/enoki-go/enoki/internal/testserver"
)

// newProject makes a project and goes there.
func newProject(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module m\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	return dir
}

// withState gives the test a user's state of its own, without a broker.
func withState(t *testing.T) {
	t.Helper()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("ENOKI_BROKER", "") // restored in the end
	if err := os.Unsetenv("ENOKI_BROKER"); err != nil {
		t.Fatal(err)
	}
}

func dialHere(t *testing.T) broker.Broker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := host.Dial(ctx, "", quiet)
	return linked(t, b, err)
}

// TestProjectsShareOneBroker: the dead letters of one are not the other's to
// discard.
func TestProjectsShareOneBroker(t *testing.T) {
	withState(t)
	sold := enoki.NewEvent[string]("shop", "sold")
	shop := newProject(t)
	fails := enoki.NewService("stock", enoki.On(sold, func(context.Context, string) error { return enoki.Permanent(enoki.NotFound) }))
	run(t, dialHere(t), enoki.Options{}, fails)
	mine := client(t, dialHere(t)) // finds that broker
	if err := mine.Emit(t.Context(), "shop", "sold", "ink"); err != nil {
		t.Fatal(err)
	}
	letters := func() (n int) {
		t.Helper()
		for _, err := range deadletter.All(t.Context(), mine, deadletter.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	eventually(t, "a dead letter", func() bool { return letters() == 1 })

	zoo := newProject(t)
	others := client(t, dialHere(t))
	for range deadletter.All(t.Context(), others, deadletter.Filter{}) {
		t.Errorf("project %s sees the dead letter of %s", zoo, shop)
	}
	if n := letters(); n != 1 {
		t.Errorf("%d dead letters are left in %s", n, shop)
	}

	a := startApp(t, greeter()) // in the second project, which has a broker
	line, _ := a.await(t, "found the broker of this project", 0)
	if dir, _ := line["dir"].(string); !strings.Contains(dir, "enoki/brokers/") {
		t.Errorf("the start line is %v", line)
	}
}

// TestEveryUserMayUseTheBroker: another user of the machine has no password,
// and can't read it.
func TestEveryUserMayUseTheBroker(t *testing.T) {
	withState(t)
	newProject(t)
	a := startApp(t, greeter())
	line, _ := a.await(t, "started a broker in this process", 0)
	dir, _ := line["dir"].(string)
	a.ready(t)
	if strings.Contains(a.log(), password(t, dir)) {
		t.Errorf("the log has the password:\n%s", a.log())
	}
	info, err := os.Stat(filepath.Join(dir, "url"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of the URL is %v, %v", info, err)
	}
	u, err := url.Parse(brokerURL(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	u.User = nil
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = host.Dial(ctx, u.String(), quiet)
	if err == nil || !strings.Contains(err.Error(), "enoki broker list") {
		t.Errorf("without the password: %v", err)
	}

	if os.Getuid() != 0 {
		testserver.Skip(t, "only root can become another user")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		testserver.Skip(t, "there is no user nobody")
	}
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		testserver.Skip(t, "there is no setpriv")
	}
	said, err := exec.Command(setpriv, "--reuid="+nobody.Uid, "--regid="+nobody.Gid, "--clear-groups", "cat", filepath.Join(dir, "url")).CombinedOutput()
	if err == nil || strings.Contains(string(said), password(t, dir)) {
		t.Errorf("user nobody reads the password: %s", said)
	}
}

func brokerURL(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "url"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func password(t *testing.T, dir string) string {
	t.Helper()
	u, err := url.Parse(brokerURL(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	p, _ := u.User.Password()
	return p
}
