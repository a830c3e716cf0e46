//go:build unix

package host

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/internal/brokerdir"
)

// childRole names the variable that makes this test binary a program of
// services instead: what signals and processes do, only processes show.
const childRole = "ENOKI_HOST_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childRole) {
	case "":
		goleak.VerifyTestMain(m)
	case "slow":
		Main(slow())
	case "local":
		serveLocally()
	}
}

// slow has a call that says when it has begun and ends when it is told to, by
// a line on stdin.
func slow() *enoki.Service {
	return enoki.NewService("slow", enoki.Method("work", func(context.Context) (string, error) {
		fmt.Println("begun")
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		return strings.TrimSpace(line), err
	}))
}

// serveLocally is a service named for its process.
func serveLocally() {
	name := "s" + strconv.Itoa(os.Getpid())
	Main(enoki.NewService(name, enoki.Method("name", func(context.Context) (string, error) { return name, nil })))
}

// child is a process of services.
type child struct {
	*exec.Cmd
	log   *logLines
	stdin io.WriteCloser
	out   *bufio.Reader
}

func startChild(t *testing.T, role string, args ...string) *child {
	t.Helper()
	c := &child{Cmd: exec.Command(os.Args[0], append([]string{"--log-format=json", "--admin=127.0.0.1:0"}, args...)...)}
	c.Env = append(os.Environ(), childRole+"="+role)
	var err error
	if c.stdin, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(stdout)
	logReader, logWriter := io.Pipe()
	c.Stderr, c.log = logWriter, readLog(logReader)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.ProcessState == nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
		_ = logWriter.Close()
	})
	return c
}

func (c *child) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := c.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// exit waits for the end of the process and returns its exit code.
func (c *child) exit(t *testing.T) int {
	t.Helper()
	timer := time.AfterFunc(patience, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	_ = c.Wait() // the code says it all
	return c.ProcessState.ExitCode()
}

// working starts the slow program on a broker of its own and a call to it,
// and returns when the call runs.
func working(t *testing.T) (c *child, admin string, answer <-chan string) {
	t.Helper()
	dir := t.TempDir()
	c = startChild(t, "slow", "--broker=embedded:?port=0&dir="+dir)
	c.log.wait(t, "started a broker")
	url := brokerdir.URL(dir)
	admin = fmt.Sprint(c.log.wait(t, "ready in ")["admin"])
	b, err := Dial(t.Context(), url, silent)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 1)
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		result, err := enoki.NewClient(b, nil).Call(ctx, "slow", "work", nil, nil)
		done <- fmt.Sprint(string(result), err)
	}()
	t.Cleanup(func() { _ = b.Close(); <-done })
	if line, err := c.out.ReadString('\n'); line != "begun\n" {
		t.Fatal(line, err)
	}
	return c, admin, done
}

func TestFirstSignalLetsARunningCallFinish(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			c, admin, answer := working(t)
			c.signal(t, s)
			if line := c.log.wait(t, "stopping"); line["cause"] != s.String() {
				t.Errorf("the log line is %v", line)
			}
			if status, body := get(t, admin+"/readyz"); status != 503 || !strings.Contains(body, "drain: stopping") {
				t.Errorf("/readyz while stopping: %d %s", status, body)
			}
			if status, _ := get(t, admin+"/livez"); status != 200 {
				t.Errorf("/livez while stopping: %d", status)
			}
			if _, err := io.WriteString(c.stdin, "finished\n"); err != nil {
				t.Fatal(err)
			}
			if got := <-answer; got != `"finished"<nil>` {
				t.Errorf("the call that ran got %s", got)
			}
			if code := c.exit(t); code != 0 {
				t.Errorf("exit code %d\n%s", code, c.log.all())
			}
		})
	}
}

func TestSecondSignalEndsTheProcessAtOnce(t *testing.T) {
	for s, want := range map[os.Signal]int{syscall.SIGTERM: 143, os.Interrupt: 130} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			c, _, _ := working(t)
			c.signal(t, syscall.SIGTERM)
			c.log.wait(t, "stopping")
			c.signal(t, s)
			if code := c.exit(t); code != want {
				t.Errorf("exit code %d, want %d\n%s", code, want, c.log.all())
			}
		})
	}
}

func TestGraceEndsWhatDoesNotFinish(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, "slow", "--broker=embedded:?port=0&dir="+dir, "--grace=50ms")
	c.log.wait(t, "started a broker")
	url := brokerdir.URL(dir)
	c.log.wait(t, "ready in ")
	b, err := Dial(t.Context(), url, silent)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = enoki.NewClient(b, nil).Call(ctx, "slow", "work", nil, nil) // never answered
	}()
	if line, err := c.out.ReadString('\n'); line != "begun\n" {
		t.Fatal(line, err)
	}
	c.signal(t, syscall.SIGTERM)
	if code := c.exit(t); code != 124 {
		t.Errorf("exit code %d, want 124\n%s", code, c.log.all())
	}
	cancel()
	<-ended
}

// TestProcessesWithoutAURLShareOneBroker starts three at the same moment: one
// of them has to win the directory, the others have to find it there.
func TestProcessesWithoutAURLShareOneBroker(t *testing.T) {
	dir := t.TempDir()
	var children []*child
	for range 3 {
		children = append(children, startChild(t, "local", "--store-dir="+dir))
	}
	for _, c := range children {
		c.log.wait(t, "ready in ")
	}
	owners := 0
	for _, c := range children {
		if strings.Contains(c.log.all(), "started a broker") {
			owners++
		} else if !strings.Contains(c.log.all(), "found the broker of this project") {
			t.Errorf("no line about the broker in\n%s", c.log.all())
		}
	}
	if owners != 1 {
		t.Errorf("%d processes have started a broker, want 1", owners)
	}

	b, err := (&Dialer{Logger: silent, StoreDir: dir}).Dial(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, c := range children {
		name := "s" + strconv.Itoa(c.Process.Pid)
		result, err := enoki.NewClient(b, nil).Call(t.Context(), name, "name", nil, nil)
		if string(result) != `"`+name+`"` {
			t.Errorf("%s answers %s, %v", name, result, err)
		}
	}
}
