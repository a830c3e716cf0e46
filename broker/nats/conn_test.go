package nats_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/enoki-go/enoki/broker/nats"
)

func TestConnWritesAllInOrderBeforeItCloses(t *testing.T) {
	ours, theirs := net.Pipe()
	c := nats.NewConn(ours)
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(theirs)
		got <- all
	}()
	const writers, lines = 8, 200
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range lines {
				if n, err := c.Write([]byte(strconv.Itoa(w) + " " + strconv.Itoa(i) + "\n")); n == 0 || err != nil {
					t.Errorf("writer %d, line %d: %d bytes, %v", w, i, n, err)
				}
			}
		})
	}
	group.Wait()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	next := map[string]int{}
	for line := range bytes.Lines(<-got) {
		writer, number, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		if string(number) != strconv.Itoa(next[string(writer)]) {
			t.Fatalf("writer %s: line %s, want %d", writer, number, next[string(writer)])
		}
		next[string(writer)]++
	}
	for w := range writers {
		if n := next[strconv.Itoa(w)]; n != lines {
			t.Errorf("writer %d: %d lines, want %d", w, n, lines)
		}
	}
}

// A peer that reads nothing holds up who writes too much, until the connection
// is closed.
func TestConnBoundsWhatIsUnwritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, _ := net.Pipe()
		c := nats.NewConn(ours)
		chunk, taken := make([]byte, 32<<10), 0
		var refused error
		go func() {
			for refused == nil {
				if _, refused = c.Write(chunk); refused == nil {
					taken++
				}
			}
		}()
		synctest.Wait()
		if refused != nil || taken > 10 {
			t.Errorf("%d kB are taken, then %v; want a Write that waits before 320 kB", 32*taken, refused)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		synctest.Wait()
		if !errors.Is(refused, net.ErrClosed) {
			t.Errorf("Write on a closed connection: %v, want net.ErrClosed", refused)
		}
	})
}

func TestConnTellsOfABrokenWrite(t *testing.T) {
	ours, theirs := net.Pipe()
	c := nats.NewConn(ours)
	theirs.Close()
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		t.Fatalf("Write without waiting: %v, want nil", err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil { // the client reads all the time
		t.Error("Read after a broken write succeeded")
	}
	for { // the goroutine that writes notices by itself
		if _, err := c.Write([]byte("PING\r\n")); err != nil {
			return
		}
	}
}
