// Package storetest proves that a place keeps what package store asks of it.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/enoki-go/enoki/examples/comments/store"
	"github.com/enoki-go/enoki/outbox"
)

// Open opens the store at a URL or path.
type Open func(at string) (store.Store, error)

// Run checks every promise of store.Store. place returns where a store can be
// opened that is empty at first; Run opens the same place more than once, one
// after the other. The TestMain of the package must call Main.
func Run(t *testing.T, open Open, place func(t *testing.T) string) {
	cases := []struct {
		name string
		test func(t *testing.T, open Open, at string)
	}{
		{"one email has one id", oneEmail},
		{"data is returned as stored", dataAsStored},
		{"200 registrations of one email at once", sameEmailAtOnce},
		{"200 emails at once", manyEmailsAtOnce},
		{"comments come in order and by article", commentsInOrder},
		{"comments at once have ids of their own", commentsAtOnce},
		{"a comment and its event are stored both or neither", commentWithEvent},
		{"events wait until they are emitted", eventsWait},
		{"an event that is refused is kept as dead", eventRefused},
		{"one relay runs at a time", oneRelay},
		{"the newest notifications are kept", newestNotifications},
		{"one event makes one notification", oneNotification},
		{"all is there when opened again", openedAgain},
		{"a context that has ended writes nothing", endedContext},
		{"a writer killed at any moment", killedWriter},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.test(t, open, place(t)) })
	}
}

// opened opens a store until the test ends.
func opened(t *testing.T, open Open, at string) store.Store {
	t.Helper()
	s, err := open(at)
	if err != nil {
		t.Fatalf("open %s: %v", at, err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func oneEmail(t *testing.T, open Open, at string) {
	s := opened(t, open, at)
	first := mustRegister(t, s, "ann@example.com", `{"name":"Ann"}`)
	id, isNew, err := s.Register(t.Context(), "ann@example.com", json.RawMessage(`{"name":"Not Ann"}`))
	if err != nil || isNew || id != first {
		t.Errorf("registered again: %q, %v, %v; want %q, false, nil", id, isNew, err, first)
	}
	wantData(t, s, first, `{"name":"Ann"}`)
	if other := mustRegister(t, s, "bob@example.com", `{}`); other == first {
		t.Errorf("two emails got the id %s", other)
	}
	for _, unknown := range []string{"", "7999999", "ann@example.com", "nobody"} {
		wantData(t, s, unknown, "")
	}
}

func dataAsStored(t *testing.T, open Open, at string) {
	s := opened(t, open, at)
	for i, data := range []string{
		`{"name": "Ann",  "timestamp": 12345678901234567890, "more": [1.0, null]}`,
		`{"name":"小明","é":"\u00e9 \" \\ \u0000"}`,
		`"a string"`,
		`{"long":"` + strings.Repeat("x", 100_000) + `"}`,
	} {
		id := mustRegister(t, s, fmt.Sprintf("%d@example.com", i), data)
		wantData(t, s, id, data)
	}
	odd := "o'dd \"+ü\x00\n@example.com"
	id := mustRegister(t, s, odd, `{}`)
	if again, isNew, err := s.Register(t.Context(), odd, json.RawMessage(`{}`)); again != id || isNew || err != nil {
		t.Errorf("register %q again: %q, %v, %v; want %q, false, nil", odd, again, isNew, err, id)
	}
}

func sameEmailAtOnce(t *testing.T, open Open, at string) {
	s := opened(t, open, at)
	ids, fresh := registerAtOnce(t, s, func(int) string { return "one@example.com" })
	if len(ids) != 1 || fresh != 1 {
		t.Errorf("one email got %d ids and was new %d times: %v", len(ids), fresh, ids)
	}
}

func manyEmailsAtOnce(t *testing.T, open Open, at string) {
	s := opened(t, open, at)
	ids, fresh := registerAtOnce(t, s, func(i int) string { return fmt.Sprintf("%d@example.com", i) })
	if len(ids) != atOnce || fresh != atOnce {
		t.Errorf("%d emails got %d ids and were new %d times", atOnce, len(ids), fresh)
	}
}

// atOnce is how many writers a test lets loose together.
const atOnce = 200

// registerAtOnce returns how often each id was given, and how many of the
// registrations were new.
func registerAtOnce(t *testing.T, s store.Store, email func(i int) string) (ids map[string]int, fresh int) {
	t.Helper()
	type answer struct {
		id    string
		isNew bool
	}
	answers := make([]answer, atOnce)
	var g errgroup.Group
	for i := range answers {
		g.Go(func() error {
			var err error
			answers[i].id, answers[i].isNew, err = s.Register(t.Context(), email(i), json.RawMessage(`{}`))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	ids = map[string]int{}
	for _, a := range answers {
		checkID(t, a.id)
		ids[a.id]++
		if a.isNew {
			fresh++
		}
	}
	return ids, fresh
}

func commentsInOrder(t *testing.T, open Open, at string) {
	s := opened(t, open, at)
	if got, err := s.CommentsOn(t.Context(), 1); err != nil || len(got) != 0 {
		t.Errorf("comments on an article without any: %v, %v", got, err)
	}
	want := map[int64][]store.Comment{}
	var last int64
	for i := range 30 {
		c := store.Comment{
			ParentID: last, UserID: "7000001", Content: fmt.Sprintf("nr. %d ü\x00\"", i),
			ArticleID: []int64{1, -1, math.MaxInt64}[i%3], ArticleUserID: "7000002", Timestamp: math.MaxInt64 - int64(i),
		}
		c.ID = mustComment(t, s, c)
		if c.ID <= last {
			t.Errorf("comment id %d came after %d", c.ID, last)
		}
		last = c.ID
		want[c.ArticleID] = append(want[c.ArticleID], c)
	}
	for article := range want {
		got, err := s.CommentsOn(t.Context(), article)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want[article]) {
			t.Errorf("comments on %d:\n%v, %v; want\n%v", article, got, err, want[article])
		}
	}
}

func commentsAtOnce(t *testing.T, open Open, at string) {
	s := opened(t, open, at)
	ids := make([]int64, atOnce)
	var g errgroup.Group
	for i := range ids {
		g.Go(func() error {
			var err error
			ids[i], err = s.AddComment(t.Context(), store.Comment{ArticleID: int64(i % 2), Content: strconv.Itoa(i)}, inSilence)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	stored := map[int64]string{}
	for article := range int64(2) {
		comments, err := s.CommentsOn(t.Context(), article)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range comments {
			stored[c.ID] = c.Content
		}
	}
	for i, id := range ids {
		if stored[id] != strconv.Itoa(i) {
			t.Errorf("comment %d holds %q, want %d", id, stored[id], i)
		}
	}
}

// inSilence announces nothing.
func inSilence(store.Comment, *store.Posting) error { return nil }

// announced puts an event with the comment's id into the posting.
func announced(c store.Comment, p *store.Posting) error {
	return p.Put(outbox.Record{Source: "api", Event: "posted", Message: strconv.AppendInt(nil, c.ID, 10)})
}

// relayed returns the messages that a relay emits, which ends with an error at
// the one given.
func relayed(t *testing.T, s store.Store, failAt string) (messages []string, err error) {
	t.Helper()
	err = s.Relay(t.Context(), func(_ context.Context, r outbox.Record) error {
		if r.Source != "api" || r.Event != "posted" {
			t.Errorf("an event %s.%s waits", r.Source, r.Event)
		}
		messages = append(messages, string(r.Message))
		if string(r.Message) == failAt {
			return errAway
		}
		return nil
	})
	return messages, err
}

var errAway = errors.New("the broker is away")

// eventRefused: what no broker takes is kept as dead, and put back by a retry.
func eventRefused(t *testing.T, open Open, at string) {
	s := opened(t, open, at)
	for range 2 {
		if _, err := s.AddComment(t.Context(), store.Comment{ArticleID: 1}, announced); err != nil {
			t.Fatal(err)
		}
	}
	count := func(waiting, dead int) {
		t.Helper()
		if n, err := s.Count(t.Context()); err != nil || n.Waiting != waiting || n.Dead != dead {
			t.Errorf("Count is %+v, %v; want %d that wait and %d that are dead", n, err, waiting, dead)
		}
	}
	count(2, 0)
	var refused string
	err := s.Relay(t.Context(), func(_ context.Context, r outbox.Record) error {
		if refused != "" {
			return nil
		}
		refused = string(r.Message)
		return fmt.Errorf("%w: too large", outbox.ErrRefused)
	})
	if err != nil {
		t.Fatal(err)
	}
	count(0, 1)
	for _, what := range []outbox.Settlement{outbox.Keep, outbox.Retry} {
		err := s.Dead(t.Context(), func(d outbox.DeadRecord) outbox.Settlement {
			if string(d.Message) != refused || !strings.Contains(d.Reason, "too large") {
				t.Errorf("dead record %s: %s", d.Message, d.Reason)
			}
			return what
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	count(1, 0)
	if got, err := relayed(t, s, ""); err != nil || !slices.Equal(got, []string{refused}) {
		t.Errorf("emitted %q, %v; want %q", got, err, refused)
	}
}

func commentWithEvent(t *testing.T, open Open, at string) {
	s := opened(t, open, at)
	_, err := s.AddComment(t.Context(), store.Comment{ArticleID: 1, Content: "refused"}, func(c store.Comment, p *store.Posting) error {
		return errors.Join(announced(c, p), errors.New("on purpose"))
	})
	if err == nil {
		t.Error("a comment whose announcement fails is stored")
	}
	id, err := s.AddComment(t.Context(), store.Comment{ArticleID: 1, Content: "stored"}, announced)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Added():
	default:
		t.Error("the relay is not woken")
	}
	if got, err := relayed(t, s, ""); err != nil || !slices.Equal(got, []string{fmt.Sprint(id)}) {
		t.Errorf("emitted %q, %v; want the id %d", got, err, id)
	}
	if got, err := s.CommentsOn(t.Context(), 1); err != nil || len(got) != 1 || got[0].Content != "stored" {
		t.Errorf("comments: %v, %v", got, err)
	}
}

func eventsWait(t *testing.T, open Open, at string) {
	s, err := open(at)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for range 3 {
		id, err := s.AddComment(t.Context(), store.Comment{ArticleID: 1}, announced)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, fmt.Sprint(id))
	}
	if got, err := relayed(t, s, ids[1]); !errors.Is(err, errAway) || !slices.Equal(got, ids[:2]) {
		t.Errorf("emitted %q, %v; want %q", got, err, ids[:2])
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = opened(t, open, at)
	for _, want := range [][]string{ids[1:], nil} {
		if got, err := relayed(t, s, ""); err != nil || !slices.Equal(got, want) {
			t.Errorf("emitted %q, %v; want %q", got, err, want)
		}
	}
}

func oneRelay(t *testing.T, open Open, at string) {
	s := opened(t, open, at)
	if _, err := s.AddComment(t.Context(), store.Comment{ArticleID: 1}, announced); err != nil {
		t.Fatal(err)
	}
	err := s.Relay(t.Context(), func(context.Context, outbox.Record) error {
		got, err := relayed(t, s, "")
		if len(got) > 0 {
			t.Errorf("a second relay emits %q meanwhile", got)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func oneNotification(t *testing.T, open Open, at string) {
	s := opened(t, open, at)
	for _, n := range []store.Notification{
		{EventID: "a", Text: "first"}, {EventID: "a", Text: "again"}, {EventID: "b", Text: "second"}, {Text: "x"}, {Text: "x"},
	} {
		if err := s.AddNotification(t.Context(), "7000001", n); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AddNotification(t.Context(), "7000002", store.Notification{EventID: "a"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for user, most := range map[string]int{"7000001": 4, "7000002": 1} {
		list, err := s.NotificationsFor(t.Context(), user)
		if err != nil || len(list) != most {
			t.Errorf("user %s has %d notifications, %v; want %d", user, len(list), err, most)
		}
		for _, n := range list {
			got = append(got, n.Text)
		}
	}
	if slices.Contains(got, "again") {
		t.Errorf("an event that came again is told of again: %q", got)
	}
}

func newestNotifications(t *testing.T, open Open, at string) {
	s := opened(t, open, at)
	const sent = store.MaxNotifications + 7
	start := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	for i := range sent {
		n := store.Notification{Time: start.Add(time.Duration(i)), Language: "en", Text: strconv.Itoa(i)}
		if err := s.AddNotification(t.Context(), "7000001", n); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.NotificationsFor(t.Context(), "7000001")
	if err != nil || len(got) != store.MaxNotifications {
		t.Fatalf("%d notifications, %v; want %d", len(got), err, store.MaxNotifications)
	}
	for i, n := range got {
		number := sent - 1 - i
		if n.Text != strconv.Itoa(number) || !n.Time.Equal(start.Add(time.Duration(number))) || n.Language != "en" {
			t.Errorf("notification %d is %+v, want number %d", i, n, number)
		}
	}
	if got, err := s.NotificationsFor(t.Context(), "7000002"); err != nil || len(got) != 0 {
		t.Errorf("notifications for another user: %v, %v", got, err)
	}
}

func openedAgain(t *testing.T, open Open, at string) {
	s, err := open(at)
	if err != nil {
		t.Fatal(err)
	}
	user := mustRegister(t, s, "ann@example.com", `{"name":"Ann"}`)
	comment := mustComment(t, s, store.Comment{ArticleID: 1, Content: "hello"})
	if err := s.AddNotification(t.Context(), user, store.Notification{Text: "hello"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = opened(t, open, at)
	wantData(t, s, user, `{"name":"Ann"}`)
	if other := mustRegister(t, s, "bob@example.com", `{}`); other == user {
		t.Errorf("the id %s was given twice", user)
	}
	if next := mustComment(t, s, store.Comment{ArticleID: 1, Content: "again"}); next <= comment {
		t.Errorf("comment id %d came after %d", next, comment)
	}
	comments, err := s.CommentsOn(t.Context(), 1)
	if err != nil || len(comments) != 2 || comments[0].Content != "hello" {
		t.Errorf("comments: %v, %v", comments, err)
	}
	notifications, err := s.NotificationsFor(t.Context(), user)
	if err != nil || len(notifications) != 1 || notifications[0].Text != "hello" {
		t.Errorf("notifications: %v, %v", notifications, err)
	}
}

func endedContext(t *testing.T, open Open, at string) {
	s := opened(t, open, at)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Register(ctx, "ann@example.com", json.RawMessage(`{}`)); err == nil {
		t.Error("Register: no error")
	}
	if _, err := s.AddComment(ctx, store.Comment{ArticleID: 1}, inSilence); err == nil {
		t.Error("AddComment: no error")
	}
	if err := s.AddNotification(ctx, "7000001", store.Notification{}); err == nil {
		t.Error("AddNotification: no error")
	}
	if _, isNew, err := s.Register(t.Context(), "ann@example.com", json.RawMessage(`{}`)); err != nil || !isNew {
		t.Errorf("Register later: new %v, %v; want true, nil", isNew, err)
	}
	if got, err := s.CommentsOn(t.Context(), 1); err != nil || len(got) != 0 {
		t.Errorf("comments: %v, %v; want none", got, err)
	}
}

func mustRegister(t *testing.T, s store.Store, email, data string) string {
	t.Helper()
	id, isNew, err := s.Register(t.Context(), email, json.RawMessage(data))
	if err != nil || !isNew {
		t.Fatalf("register %q: new %v, %v; want true, nil", email, isNew, err)
	}
	checkID(t, id)
	return id
}

func mustComment(t *testing.T, s store.Store, c store.Comment) int64 {
	t.Helper()
	id, err := s.AddComment(t.Context(), c, inSilence)
	if err != nil || id <= 0 {
		t.Fatalf("add a comment: %d, %v", id, err)
	}
	return id
}

// wantData checks the data of a user; want is empty when there is none.
func wantData(t *testing.T, s store.Store, id, want string) {
	t.Helper()
	got, err := s.UserData(t.Context(), id)
	if err != nil || string(got) != want || (got == nil) != (want == "") {
		t.Errorf("data of %q: %.200q, %v; want %.200q", id, got, err, want)
	}
}

func checkID(t *testing.T, id string) {
	t.Helper()
	n, err := strconv.Atoi(id)
	if err != nil || n < store.FirstUserID || n > store.LastUserID || strconv.Itoa(n) != id {
		t.Errorf("id %q is not a decimal number from %d to %d", id, store.FirstUserID, store.LastUserID)
	}
}
