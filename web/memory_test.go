package web_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/internal/testserver"
	"github.com/enoki-go/enoki/web"
)

// A body for which there is no memory in time is refused, and what was taken is
// given back however a request ends.
func TestMemoryIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testserver.NewPipes()
		memory := entrypoint.NewMemory(2000) // 1000 for what is handled: a body of 62 bytes
		free := make(chan struct{})
		r := run(t, web.Options{Listener: p}, enoki.Options{Memory: memory}, web.Post("/x", func(_ context.Context, in *textInput) (*text, error) {
			switch in.Body {
			case "wait":
				<-free
			case "panic":
				panic("secret")
			}
			return &text{in.Body}, nil
		}))
		client := &http.Client{Transport: &http.Transport{DialContext: p.Dial}}
		defer client.CloseIdleConnections()
		post := func(body string) (int, http.Header) {
			res, err := client.Post(r.url("/x"), "application/json", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return 0, nil
			}
			res.Body.Close()
			return res.StatusCode, res.Header
		}
		first := make(chan int)
		go func() {
			status, _ := post(`"wait"` + strings.Repeat(" ", 50)) // 56 bytes
			first <- status
		}()
		synctest.Wait()
		if used := memory.Used(); used != 56*16 {
			t.Errorf("%d bytes are taken, want %d", used, 56*16)
		}
		if status, header := post(`"x"` + strings.Repeat(" ", 50)); status != 503 || header.Get("Retry-After") != "1" {
			t.Errorf("%d %v, want 503", status, header)
		}
		if status, _ := post(`"x"`); status != 200 { // for which there is room
			t.Error(status)
		}
		close(free)
		if status := <-first; status != 200 {
			t.Error(status)
		}
		for body, want := range map[string]int{`"panic"`: 500, `{`: 400, `"` + strings.Repeat("x", 2000) + `"`: 200} {
			if status, _ := post(body); status != want {
				t.Errorf("%.10s: %d, want %d", body, status, want)
			}
		}
		synctest.Wait()
		if used := memory.Used(); used != 0 {
			t.Errorf("%d bytes were not given back", used)
		}
	})
}

// A body that waits for memory is not late because of it.
func TestWaitingForMemoryIsNotTheClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testserver.NewPipes()
		run(t, web.Options{Listener: p, ReadTimeout: 2 * time.Second}, enoki.Options{Memory: entrypoint.NewMemory(2000)}, web.Post("/x", length))
		begin := func(body string) net.Conn {
			t.Helper()
			c, err := p.Dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fprintf(c, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n%s", body); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return c
		}
		has, leads := begin(strings.Repeat(" ", 400)), begin(strings.Repeat(" ", 200)) // and both send no more
		defer has.Close()
		defer leads.Close()
		waits := begin(strings.Repeat(" ", 300)) // until those two are given up
		defer waits.Close()
		go func() { _, _ = io.Copy(io.Discard, has) }()
		late, err := http.ReadResponse(bufio.NewReader(leads), nil)
		if err != nil || late.StatusCode != http.StatusRequestTimeout {
			t.Fatalf("%v %v, want 408 for who sends half a body", late, err)
		}
		time.Sleep(time.Second)
		if _, err := io.WriteString(waits, strings.Repeat(" ", 198)+`""`); err != nil {
			t.Fatal(err)
		}
		whole, err := http.ReadResponse(bufio.NewReader(waits), nil)
		if err != nil || whole.StatusCode != http.StatusOK {
			t.Fatalf("%v %v, want 200 for who was kept waiting", whole, err)
		}
	})
}

// What handlers of package http read counts until they return.
func TestMemoryOfPlainBodies(t *testing.T) {
	memory := entrypoint.NewMemory(16 << 20)
	used := func(r *http.Request) string {
		_, err := io.Copy(io.Discard, r.Body)
		return fmt.Sprint(memory.Used(), err)
	}
	r := run(t, web.Options{MaxBody: -1}, enoki.Options{Memory: memory},
		web.Handle("/handle", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, used(r)) })),
		web.Plain("POST", "/plain", func(_ context.Context, r *http.Request) (*web.Text, error) {
			return &web.Text{Body: used(r)}, nil
		}))
	for _, path := range []string{"/handle", "/plain"} {
		for size, want := range map[int]string{0: "0<nil>", 1000: "2000<nil>", 3 << 20: "2097152<nil>"} {
			res, err := http.Post(r.url(path), "text/plain", strings.NewReader(strings.Repeat("x", size)))
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if got := strings.ReplaceAll(string(text), " ", ""); got != want {
				t.Errorf("%s with %d bytes: %s are taken, want %s", path, size, got, want)
			}
			eventually(t, "all is given back", func() bool { return memory.Used() == 0 })
		}
	}
}

// A slow client has what it has sent, and not what it has announced.
func TestSlowBodyTakesWhatCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testserver.NewPipes()
		memory := entrypoint.NewMemory(1 << 20)
		run(t, web.Options{Listener: p}, enoki.Options{Memory: memory}, web.Post("/x", length))
		c, err := p.Dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := fmt.Fprintf(c, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n\r\n%s", strings.Repeat(" ", 1000)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if used := memory.Used(); used < 1000 || used > 3000 {
			t.Errorf("%d bytes are taken for 1000 of a body", used)
		}
		c.Close()
		synctest.Wait()
		if used := memory.Used(); used != 0 {
			t.Errorf("%d bytes were not given back", used)
		}
	})
}
