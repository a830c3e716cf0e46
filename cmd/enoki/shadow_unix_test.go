//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/internal/testserver"
)

// TestShadowKilled kills the command with -9 while it shadows: it leaves
// nothing on the broker, and on Linux its programs end, too.
func TestShadowKilled(t *testing.T) {
	rabbit := testserver.RabbitMQ(t)
	serveAll(t, rabbit.URL(), enoki.NewService("register", enoki.Method("rename", push, "a", "b", "c")))
	before := brokerState(t, rabbit)
	t.Setenv("TMPDIR", t.TempDir()) // it can't remove its files
	newModule(t, map[string]string{"services/register/register.go": shadowRegister})

	cmd := exec.Command(os.Args[0], "shadow", "register", "--broker", rabbit.URL(), "--against", "./services/register")
	cmd.Env = append(os.Environ(), asCommand+"=1")
	ended := make(chan struct{})
	stderr := newTranscript(ended)
	cmd.Stderr = stderr
	cmd.WaitDelay = time.Second // the service may have the pipe a little longer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is killed
	}()
	stderr.await(t, "shadowing register", 1)
	if brokerState(t, rabbit) == before {
		t.Error("the broker does not show the tap")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	awaitState(t, rabbit, before)

	found := regexp.MustCompile(`started, process (\d+)`).FindStringSubmatch(stderr.String())
	if found == nil {
		t.Fatalf("no process in\n%s", stderr)
	}
	pid, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "linux" {
		_ = syscall.Kill(pid, syscall.SIGKILL) // there is no way to tie it to its parent
		return
	}
	for deadline := time.Now().Add(testTimeout); !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there\n%s", pid, stderr)
		}
	}
}
