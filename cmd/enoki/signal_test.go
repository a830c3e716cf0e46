//go:build unix

package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// asCommand makes this test binary behave as the command.
const asCommand = "ENOKI_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestSecondInterruptKills sends signals to the command as a process of its
// own, which runs a program that does not end when it is asked to.
func TestSecondInterruptKills(t *testing.T) {
	newModule(t, map[string]string{"stubborn/main.go": stubbornMain})
	cmd := exec.Command(os.Args[0], "run", "--broker", "nats://127.0.0.1:1", "./stubborn")
	cmd.Env = append(os.Environ(), asCommand+"=1")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var child int
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		switch {
		case strings.Contains(lines.Text(), "here to stay, process "):
			_, pid, _ := strings.Cut(lines.Text(), "process ")
			if child, err = strconv.Atoi(pid); err != nil {
				t.Fatal(err)
			}
			interruptProcess(t, cmd)
		case strings.Contains(lines.Text(), "asked to end"):
			interruptProcess(t, cmd)
		}
	}
	_ = cmd.Wait() // the exit code is looked at below
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || child == 0 {
		t.Errorf("the second interrupt ends it with %d (its program was process %d)", code, child)
	}
	if err := syscall.Kill(child, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("its program is still there: %v", err)
	}
}

func interruptProcess(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Errorf("interrupt: %v", err)
	}
}
