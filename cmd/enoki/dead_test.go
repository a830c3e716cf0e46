package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/deadletter"
	"github.com/enoki-go/enoki/host"
)

type order struct {
	Item  string `json:"item"`
	Count int    `json:"count"`
}

// stockroom handles orders, but for those that it refuses.
type stockroom struct {
	mu     sync.Mutex
	opened bool // and has all items

	handled chan order
}

func (s *stockroom) open(opened bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened = opened
}

func (s *stockroom) onPlaced(_ context.Context, o order) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.opened || o.Item == "pen":
		s.handled <- o
		return nil
	case o.Item == "bomb":
		panic("it went off")
	}
	return enoki.Permanent(fmt.Errorf("no stock of %q for order %d", o.Item, o.Count))
}

func (s *stockroom) await(t *testing.T, want order) {
	t.Helper()
	select {
	case got := <-s.handled:
		if got != want {
			t.Errorf("handled was %+v, want %+v", got, want)
		}
	case <-time.After(testTimeout):
		t.Fatalf("%+v is not handled", want)
	}
}

// deadGroups waits for that many letters and returns their groups, the largest
// first.
func deadGroups(t *testing.T, url string, letters int) []deadletter.Group {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); ; time.Sleep(50 * time.Millisecond) {
		var groups []deadletter.Group
		if err := json.Unmarshal([]byte(must(t, "dead", "--json", "--service", "stock", "--broker", url)), &groups); err != nil {
			t.Fatal(err)
		}
		if count(groups) == letters {
			slices.SortFunc(groups, func(a, b deadletter.Group) int { return b.Count - a.Count })
			return groups
		}
		if time.Now().After(deadline) {
			t.Fatalf("the groups are %+v, want %d letters", groups, letters)
		}
	}
}

// TestDead works with dead letters on every broker.
func TestDead(t *testing.T) {
	t.Parallel()
	for name, startBroker := range brokers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := startBroker(t)
			s := &stockroom{handled: make(chan order, 100)}
			serveThese(t, url, enoki.NewService("stock", enoki.On(enoki.NewEvent[order]("shop", "placed"), s.onPlaced)))
			for n := range 3 { // which are to die in this order
				must(t, "emit", "shop.placed", "item=ink", fmt.Sprintf("count:=%d", n), "--broker", url)
				deadGroups(t, url, n+1)
			}
			must(t, "emit", "shop.placed", "item=bomb", "count:=1", "--broker", url)
			must(t, "emit", "shop.placed", `"no order"`, "--broker", url)
			emitBroken(t, url)
			groups := deadGroups(t, url, 6)
			testDeadList(t, url, groups)
			ids := testDeadShow(t, url, groups)
			testDeadEdit(t, url, s, ids)
			testDeadRetry(t, url, s, groups[0].ID, ids)
			testDeadDiscard(t, url, s)
		})
	}
}

// emitBroken emits an event that is no JSON.
func emitBroken(t *testing.T, url string) {
	t.Helper()
	b, err := host.Dial(t.Context(), url, quietLogger())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Emit(t.Context(), "shop", "placed", &broker.Message{ID: "broken", ContentType: "application/json", Body: []byte("{\x00")}); err != nil {
		t.Fatal(err)
	}
}

func testDeadList(t *testing.T, url string, groups []deadletter.Group) {
	if len(groups) != 4 || groups[0].Count != 3 || groups[0].Service != "stock" || groups[0].Handler != "on_placed" ||
		groups[0].Reason != `no stock of "…" for order #` || groups[0].First.After(groups[0].Last) || time.Since(groups[0].Last) > testTimeout {
		t.Errorf("the groups are %+v", groups)
	}
	kinds := map[string]describedLetter{}
	for _, g := range groups[1:] {
		var l describedLetter
		if err := json.Unmarshal([]byte(must(t, "dead", "show", g.ID, "--json", "--broker", url)), &l); err != nil {
			t.Fatal(err)
		}
		kinds[l.Kind] = l
	}
	for _, kind := range []string{"panic", "wrong_type", "unreadable"} {
		if l := kinds[kind]; l.Attempts != 1 {
			t.Errorf("the letter of kind %s is %+v, want one attempt", kind, l)
		}
	}
	if l := kinds["unreadable"]; string(l.Bytes) != "{\x00" || l.Message != "broken" {
		t.Errorf("what can't be read is kept as %+v", l)
	}
	table := must(t, "dead", "--broker", url)
	for _, want := range []string{"GROUP", groups[0].ID, "stock.on_placed", `no stock of "…" for order #`, "panic: it went off", "wrong_type", "unreadable"} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is not in\n%s", want, table)
		}
	}
	for _, none := range [][]string{{"--service", "nobody"}, {"--handler", "on_sold"}, {"--until", "1h"}, {"--since", "2100-01-01"}} {
		stdout, stderr, code := run(t, "", append([]string{"dead", "--broker", url}, none...)...)
		if code != 0 || stdout != "" || !strings.Contains(stderr, "no dead letters") {
			t.Errorf("dead %v ends with %d and shows %s%s", none, code, stdout, stderr)
		}
	}
}

// testDeadShow returns the ids of the letters in the largest group.
func testDeadShow(t *testing.T, url string, groups []deadletter.Group) (ids []string) {
	for line := range strings.Lines(must(t, "dead", "show", groups[0].ID, "--json", "--broker", url)) {
		var l describedLetter
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if l.Group != groups[0].ID || l.Source != "shop" || l.Event != "placed" || l.Attempts != 1 || l.Message == "" || len(l.Calls) != 1 ||
			!strings.HasPrefix(string(l.Body), `{"count":`) || l.First.After(l.Died) {
			t.Errorf("a letter is %s", line)
		}
		ids = append(ids, l.ID)
	}
	table := must(t, "dead", "show", groups[0].ID, "--broker", url)
	if len(ids) != 3 || !strings.Contains(table, "LETTER") || !strings.Contains(table, ids[2]) {
		t.Fatalf("the letters of a group are\n%s", table)
	}
	letter := must(t, "dead", "show", ids[0], "--broker", url)
	for _, want := range []string{"letter    " + ids[0], "handler   stock.on_placed", "event     shop.placed", `reason    no stock of "ink" for order 0`, "{\n  \"count\": 0,\n  \"item\": \"ink\"\n}"} {
		if !strings.Contains(letter, want) {
			t.Errorf("%q is not in\n%s", want, letter)
		}
	}
	if _, stderr, code := run(t, "", "dead", "show", ids[0], "nosuchletter", "--broker", url); code != 4 || !strings.Contains(stderr, "no dead letter nosuchletter;") {
		t.Errorf("showing a letter that is not there ends with %d: %s", code, stderr)
	}
	if got := must(t, "__complete", "--broker", url, "dead", "show", ids[0], ids[1][:4]); !strings.HasPrefix(got, ids[1]+"\tstock.on_placed: no stock") {
		t.Errorf("completion of a letter: %q", got)
	}
	if got := must(t, "__complete", "--broker", url, "dead", "retry", groups[0].ID[:4]); !strings.HasPrefix(got, groups[0].ID+"\tgroup of stock.on_placed\n") {
		t.Errorf("completion of a group: %q", got)
	}
	return ids
}

func testDeadEdit(t *testing.T, url string, s *stockroom, ids []string) {
	edit := func(editor, stdin string, words ...string) (string, int) {
		run := start(t, func(c *cli) { c.editor, c.stdin = editor, strings.NewReader(stdin) }, append([]string{"dead", "edit", ids[0], "--broker", url}, words...)...)
		code := run.wait(t)
		return run.stdout.String() + run.stderr.String(), code
	}
	if out, code := edit("true", ""); code != 0 || !strings.Contains(out, "nothing was changed") {
		t.Errorf("an edit that changes nothing ends with %d: %s", code, out)
	}
	if out, code := edit("false", ""); code != 1 || !strings.Contains(out, "set $EDITOR") {
		t.Errorf("an editor that fails ends with %d: %s", code, out)
	}
	if out, code := edit("sed -i s/}/]/", ""); code != 3 || !strings.Contains(out, "the new body is not JSON") || !strings.Contains(out, "give it by --body") {
		t.Errorf("an edit that leaves no JSON ends with %d: %s", code, out)
	}
	if out, code := edit("", "{\"item\":\"pen\",\n\"count\":7}", "--body", "-", "--dry-run"); code != 0 || strings.TrimSpace(out) != `{"item":"pen","count":7}` {
		t.Errorf("a dry run of an edit ends with %d: %s", code, out)
	}
	if out, code := edit("sed -i s/ink/pen/", ""); code != 0 || !strings.Contains(out, "retried 1 dead letter") {
		t.Errorf("an edit ends with %d: %s", code, out)
	}
	s.await(t, order{"pen", 0})
	if out, code := edit("", "{}", "--body", "-"); code != 4 || !strings.Contains(out, "no dead letter "+ids[0]) {
		t.Errorf("an edit of a letter that is gone ends with %d: %s", code, out)
	}
}

func testDeadRetry(t *testing.T, url string, s *stockroom, group string, ids []string) {
	if out := must(t, "dead", "retry", group, "--dry-run", "--broker", url); !strings.Contains(out, group) {
		t.Errorf("a dry run shows %s", out)
	}
	deadGroups(t, url, 5)
	if _, stderr, code := run(t, "", "dead", "retry", ids[1], "--broker", url); code != 0 || !strings.Contains(stderr, "retried 1 dead letter") {
		t.Errorf("a retry ends with %d: %s", code, stderr)
	}
	deadGroups(t, url, 5) // it has died again
	s.open(true)
	if out := must(t, "dead", "retry", group, "--json", "--broker", url); out != `{"failed":[],"retried":2}`+"\n" {
		t.Errorf("a retry of a group prints %s", out)
	}
	for range 2 {
		if o := <-s.handled; o.Item != "ink" {
			t.Errorf("handled was %+v, want the ink", o)
		}
	}
	s.open(false)
	deadGroups(t, url, 3)
	for _, words := range [][]string{{"retry"}, {"retry", "--all", "x"}, {"discard"}, {"edit", group}} {
		if _, stderr, code := run(t, "", append([]string{"dead", "--broker", url}, words...)...); code != exitUsage {
			t.Errorf("dead %v ends with %d: %s", words, code, stderr)
		}
	}
}

func testDeadDiscard(t *testing.T, url string, s *stockroom) {
	for n := range 3 {
		must(t, "emit", "shop.placed", "item=ink", fmt.Sprintf("count:=%d", n), "--broker", url)
	}
	groups := deadGroups(t, url, 6)
	for _, test := range []struct {
		stdin string
		words []string
		code  int
		says  string
		left  int
	}{
		{"", []string{groups[0].ID}, exitUsage, "give --yes", 6},
		{"n\n", []string{groups[0].ID}, 1, "nothing was done", 6},
		{"", []string{"--all", "--dry-run"}, 0, "would discard 6 dead letters", 6},
		{"", []string{"--service", "nobody", "--yes"}, 0, "discarded 0 dead letters", 6},
		{"", []string{groups[1].ID}, 0, "discarded 1 dead letter", 5}, // one is not many
		{"y\n", []string{groups[0].ID}, 0, "discard 3 dead letters for good? [y/N] discarded 3 dead letters", 2},
		{"", []string{"--since", "1h", "--yes"}, 0, "discarded 2 dead letters", 0},
		{"", []string{groups[0].ID}, 4, "no dead letter " + groups[0].ID, 0},
	} {
		_, stderr, code := run(t, test.stdin, append([]string{"dead", "discard", "--broker", url}, test.words...)...)
		if code != test.code || !strings.Contains(stderr, test.says) {
			t.Errorf("discard %q ends with %d: %s; want %d and %q", test.words, code, stderr, test.code, test.says)
		}
		deadGroups(t, url, test.left)
	}
}

// A job goes on over letters that can't be done, and says which.
func TestDeadJobFails(t *testing.T) {
	t.Parallel()
	url := startEmbedded(t)
	handle := func(context.Context, order) error { return enoki.Permanent(errors.New("no")) }
	stop := serveUntil(t, url, enoki.NewService("stock", enoki.Subscription[order]{Event: enoki.NewEvent[order]("shop", "placed"), Handle: handle, Delivery: enoki.Broadcast{}}))
	for range 2 {
		must(t, "emit", "shop.placed", "item=ink", "--broker", url)
	}
	deadGroups(t, url, 2)
	stop() // and with it the subscription goes
	stdout, stderr, code := run(t, "", "dead", "retry", "--all", "--json", "--broker", url)
	if code != 7 || !strings.HasPrefix(stdout, `{"failed":[{"id":"`) || !strings.Contains(stdout, `"retried":0`) || !strings.Contains(stderr, "2 dead letters could not be retried") {
		t.Errorf("a retry that fails ends with %d: %s%s", code, stdout, stderr)
	}
	deadGroups(t, url, 2)
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                     {},
		"90m":                  now.Add(-90 * time.Minute),
		"2026-11-25T10:30:00Z": time.Date(2026, 11, 25, 10, 30, 0, 0, time.UTC),
		"2026-11-25":           time.Date(2026, 11, 25, 0, 0, 0, 0, time.Local),
		"2026-11-25 10:30":     time.Date(2026, 11, 25, 10, 30, 0, 0, time.Local),
		"2026-11-25 10:30:05":  time.Date(2026, 11, 25, 10, 30, 5, 0, time.Local),
	} {
		if got, err := parseTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v (%v), want %v", text, got, err, want)
		}
	}
}

// What others have written steers no terminal.
func TestDeadLettersAreHarmless(t *testing.T) {
	t.Parallel()
	url := startEmbedded(t)
	handle := func(context.Context, order) error {
		return enoki.Permanent(errors.New("red \x1b[31m and\nmore \u009b2J"))
	}
	serveThese(t, url, enoki.NewService("stock", enoki.On(enoki.NewEvent[order]("shop", "placed"), handle)))
	must(t, "emit", "shop.placed", "item=\u009b2J", "count:=1", "--broker", url)
	group := deadGroups(t, url, 1)[0].ID
	var l describedLetter
	if err := json.Unmarshal([]byte(must(t, "dead", "show", group, "--json", "--broker", url)), &l); err != nil {
		t.Fatal(err)
	}
	letter := must(t, "dead", "show", l.ID, "--broker", url)
	all := letter + must(t, "dead", "--broker", url) + must(t, "dead", "show", group, "--broker", url)
	if strings.ContainsAny(all, "\x1b\u009b") || !strings.Contains(letter, "reason    red \ufffd[31m and\n          more") {
		t.Errorf("printed is %q", all)
	}
}

// A long job tells how far it has come.
func TestProgress(t *testing.T) {
	var out strings.Builder
	p := newProgress(&cli{stderr: &out}, "retried")
	p.step()
	p.next = time.Now()
	p.step()
	p.end()
	if out.String() != "retried 2 so far\n" {
		t.Errorf("it says %q", out.String())
	}
}
