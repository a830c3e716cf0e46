package storetest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/enoki-go/enoki/examples/comments/store"
)

// Registering programs of the crash tests: each of writers goroutines
// registers one email after the other.
const writers = 8

// writerEnv names the store for a test binary that is started as a writer.
const writerEnv = "STORETEST_WRITE_TO"

// Main runs the tests of a package, or, in a process that a crash test
// started, a writer that registers until it is killed. TestMain calls it.
func Main(m *testing.M, open Open) {
	at := os.Getenv(writerEnv)
	if at == "" {
		os.Exit(m.Run())
	}
	s, err := open(at)
	if err == nil {
		err = Write(s, os.Getpid(), func(email, id string) { fmt.Printf("%s %s\n", email, id) })
	}
	fmt.Fprintln(os.Stderr, "the writer ended:", err)
	os.Exit(1)
}

// Write registers emails that hold run until the store fails, and returns its
// error. It calls confirmed, concurrently, for each that the store confirmed.
func Write(s store.Store, run int, confirmed func(email, id string)) error {
	g, ctx := errgroup.WithContext(context.Background())
	for writer := range writers {
		g.Go(func() error {
			for i := 0; ; i++ {
				email := writersEmail(run, writer, i)
				id, isNew, err := s.Register(ctx, email, writersData(email))
				if err != nil {
					return err
				}
				if !isNew {
					return fmt.Errorf("%s was known already", email)
				}
				confirmed(email, id)
			}
		})
	}
	return g.Wait()
}

func writersEmail(run, writer, i int) string {
	return fmt.Sprintf("%d-%d-%d@example.com", run, writer, i)
}

func writersData(email string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"email":%q}`, email))
}

// killedWriter kills a process that registers as fast as it can, some times.
func killedWriter(t *testing.T, open Open, at string) {
	confirmed := map[string]string{}
	var runs []int
	for round := range 5 {
		runs = append(runs, runWriter(t, at, 30+17*round, confirmed))
	}
	CheckWritten(t, opened(t, open, at), runs, confirmed)
}

// runWriter kills a writer after it has confirmed some registrations, adds
// them to confirmed and returns the number of the run.
func runWriter(t *testing.T, at string, kill int, confirmed map[string]string) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+at)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	seen := 0
	for lines.Scan() {
		var email, id string
		if _, err := fmt.Sscan(lines.Text(), &email, &id); err != nil {
			t.Errorf("the writer printed %q: %v", lines.Text(), err)
		}
		confirmed[email] = id
		if seen++; seen == kill {
			_ = cmd.Process.Kill() // it may have ended by itself, which Wait shows
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the writer ended by itself after %d registrations: %v", seen, err)
	}
	return cmd.Process.Pid
}

// CheckWritten checks a store that runs of Write were cut off from: what was
// confirmed is there, what was under way is there or not but never by half,
// and no id was given twice.
func CheckWritten(t *testing.T, s store.Store, runs []int, confirmed map[string]string) {
	t.Helper()
	owner := map[string]string{}
	underWay := 0
	for _, run := range runs {
		for writer := range writers {
			for i := 0; ; i++ {
				email := writersEmail(run, writer, i)
				id, isNew, err := s.Register(t.Context(), email, writersData(email))
				if err != nil {
					t.Fatal(err)
				}
				wantData(t, s, id, string(writersData(email)))
				if before, taken := owner[id]; taken {
					t.Errorf("%s and %s both have the id %s", before, email, id)
				}
				owner[id] = email
				want, wasConfirmed := confirmed[email]
				if wasConfirmed && (isNew || id != want) {
					t.Errorf("%s was confirmed with %s and now has %s (new: %v)", email, want, id, isNew)
				}
				if !wasConfirmed {
					underWay++
					break // this writer did not come further
				}
			}
		}
	}
	t.Logf("%d confirmed, %d under way", len(confirmed), underWay)
}
