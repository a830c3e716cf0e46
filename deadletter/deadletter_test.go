package deadletter_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/deadletter"
)

var posted = enoki.NewEvent[string]("comments", "posted")

// running runs services on b until stop is called.
func running(t *testing.T, b broker.Broker, o *enoki.Options, services ...*enoki.Service) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	options := enoki.Options{}
	if o != nil {
		options = *o
	}
	options.Logger = slog.New(slog.DiscardHandler)
	ready, ended := make(chan struct{}), make(chan error, 1)
	options.OnReady = func() { close(ready) }
	go func() { ended <- enoki.Run(ctx, b, &options, services...) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	return func() error { cancel(); return <-ended }
}

// Letters that failed alike are one group, whatever they were about.
func TestDeadLetterGroups(t *testing.T) {
	alike := [][]string{
		{"no user 12", "no user 345", "no user 3fa9c", "no user 0b8f3a52-1111-4aaa-8bbb-cdefcdefcdef"},
		{`lookup "a": refused`, `lookup "b \" c": refused`},
		{"can't read 'x' at 10:00:01", "can't read 'some other' at 11:30:59.123"},
		{"dial tcp 127.0.0.1:4222: refused", "dial tcp 10.0.0.1:99: refused", "dial tcp 192.168.1.20:5672: refused"},
		{"dial tcp [::1]:4222: refused"},
		{"it isn't there and won't come"},
		{"it isn't here and won't come"},
	}
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		defer b.Close()
		c := enoki.NewClient(b, nil)
		stop := running(t, b, nil, enoki.NewService("push", enoki.On(posted, func(_ context.Context, text string) error {
			return enoki.Permanent(errors.New(text))
		})))
		for _, texts := range alike {
			for _, text := range texts {
				if err := c.Emit(t.Context(), "comments", "posted", text); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				time.Sleep(time.Second)
			}
		}
		groups, err := deadletter.Groups(t.Context(), c, deadletter.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, g := range groups {
			got = append(got, fmt.Sprintf("%d %s", g.Count, g.Reason))
			if g.Service != "push" || g.Handler != "on_posted" || g.Kind != "unknown" || len(g.ID) != 9 || g.Last.Sub(g.First) != time.Duration(g.Count-1)*time.Second {
				t.Errorf("group %+v", g)
			}
		}
		slices.Reverse(got) // the last one came first
		want := []string{
			"4 no user #",
			`2 lookup "…": refused`,
			"2 can't read '…' at #",
			"3 dial tcp #: refused",
			"1 dial tcp [::#]:#: refused",
			"1 it isn't there and won't come",
			"1 it isn't here and won't come",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got groups %q, want %q", got, want)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A letter is read and edited as JSON, whatever form its body has, and says
// where it came from.
func TestEditDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		defer b.Close()
		packed := enoki.Serializer{Name: "base64", ContentType: "application/base64",
			Decode: func(body []byte) ([]byte, error) { return base64.StdEncoding.AppendDecode(nil, body) },
			Encode: func(json []byte) ([]byte, error) { return base64.StdEncoding.AppendEncode(nil, json), nil },
		}
		options := &enoki.Options{Serializer: &packed, Accept: []enoki.Serializer{packed}}
		got := make(chan string, 1)
		stop := running(t, b, options, enoki.NewService("push", enoki.On(posted, func(ctx context.Context, text string) error {
			if text == "bad" {
				panic(text)
			}
			got <- fmt.Sprint(text, " ", enoki.ContextData(ctx)["language"])
			return nil
		})))
		c := enoki.NewClient(b, options)
		ctx := enoki.WithContextData(t.Context(), "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		ctx = enoki.WithContextData(ctx, "language", "de")
		if err := c.Emit(ctx, "comments", "posted", "bad"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for l, err := range deadletter.All(t.Context(), c, deadletter.Filter{Service: "push"}) {
			if err != nil {
				t.Fatal(err)
			}
			body, err := l.JSON()
			if err != nil || string(body) != `"bad"` || l.Kind != broker.KindPanic || l.Attempts != 1 {
				t.Errorf("the letter is %+v with %s (%v)", l.DeadLetter, body, err)
			}
			if l.TraceID() != "0af7651916cd43dd8448eb211c80319c" || len(l.CallStack()) != 1 || !strings.HasPrefix(l.CallStack()[0], "enoki_client.") {
				t.Errorf("trace %q, call stack %q", l.TraceID(), l.CallStack())
			}
			if err := l.SetJSON(json.RawMessage(`"good`)); !errors.Is(err, enoki.InvalidArgument) {
				t.Errorf("SetJSON of no JSON: %v", err)
			}
			if err := l.SetJSON(json.RawMessage(`"good"`)); err != nil || l.Message.ContentType != packed.ContentType {
				t.Errorf("SetJSON: %v, type %s", err, l.Message.ContentType)
			}
			if err := l.Retry(t.Context()); err != nil {
				t.Error(err)
			}
			if err := l.Discard(t.Context()); !errors.Is(err, enoki.NotFound) {
				t.Errorf("Discard of a letter that has gone back: %v, want NotFound", err)
			}
		}
		if text := <-got; text != "good de" {
			t.Errorf("the handler got %q", text)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
