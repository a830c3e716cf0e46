package enoki_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
)

// catcher keeps what is emitted instead of sending it.
type catcher struct {
	broker.Broker
	caught *broker.Message
}

func (c *catcher) Emit(_ context.Context, _, _ string, m *broker.Message) error {
	c.caught = m
	return nil
}

// emitted returns what an emit through a client with these options hands to
// the broker.
func emitted(ctx context.Context, t *testing.T, o *enoki.Options, options ...enoki.EmitOption) *broker.Message {
	t.Helper()
	c := &catcher{Broker: memory.New()}
	if err := enoki.NewClient(c, o).Emit(ctx, "comments", "posted", Comment{Article: 7, Text: "well said"}, options...); err != nil {
		t.Fatal(err)
	}
	return c.caught
}

func TestCloudEventHasItsAttributes(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	m := emitted(enoki.WithContextData(t.Context(), "traceparent", parent), t, nil, enoki.WithMessageID("comment-1"), enoki.AsCloudEvent("articles/7"))
	var e map[string]any
	if err := json.Unmarshal(m.Body, &e); err != nil || m.ContentType != "application/cloudevents+json" {
		t.Fatalf("got %s of type %q, error %v", m.Body, m.ContentType, err)
	}
	at, err := time.Parse(time.RFC3339Nano, e["time"].(string))
	if err != nil || time.Since(at) > time.Minute {
		t.Errorf("got time %v, error %v", e["time"], err)
	}
	delete(e, "time")
	got, _ := json.Marshal(e)
	want := `{"data":{"article":7,"text":"well said"},"datacontenttype":"application/json","id":"comment-1","source":"comments",` +
		`"specversion":"1.0","subject":"articles/7","traceparent":"` + parent + `","type":"comments.posted"}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestCloudEventsAreRead: a handler gets the payload whatever carries it.
func TestCloudEventsAreRead(t *testing.T) {
	type seen struct{ id, text string }
	handled := make(chan seen, 1)
	inHex := enoki.Serializer{Name: "hex", ContentType: "application/x-hex",
		Decode: func(body []byte) ([]byte, error) { return hex.AppendDecode(nil, body) },
		Encode: func(text []byte) ([]byte, error) { return hex.AppendEncode(nil, text), nil },
	}
	ctx, cancel := context.WithCancel(t.Context())
	b, ready, ended := memory.New(), make(chan struct{}), make(chan error, 1)
	push := enoki.NewService("push", enoki.On(Posted, func(ctx context.Context, c Comment) error {
		handled <- seen{enoki.MessageID(ctx), c.Text}
		return nil
	}))
	go func() {
		ended <- enoki.Run(ctx, b, &enoki.Options{Logger: quiet, Accept: []enoki.Serializer{inHex}, OnReady: func() { close(ready) }}, push)
	}()
	<-ready
	own, envelope := enoki.WithMessageID("own"), enoki.AsCloudEvent("")
	foreign := func(body string) *broker.Message {
		return &broker.Message{ID: "made by the driver", ContentType: "application/cloudevents+json; charset=UTF-8", Body: []byte(body)}
	}
	for name, c := range map[string]struct {
		m    *broker.Message
		want seen
	}{
		"plain":                 {emitted(ctx, t, nil, own), seen{"own", "well said"}},
		"envelope":              {emitted(ctx, t, nil, own, envelope), seen{"own", "well said"}},
		"by the options":        {emitted(ctx, t, &enoki.Options{CloudEvents: true}, own), seen{"own", "well said"}},
		"another form":          {emitted(ctx, t, &enoki.Options{Serializer: &inHex}, own, envelope), seen{"own", "well said"}},
		"least":                 {foreign(`{"specversion":"1.0","id":"a","source":"/x","type":"t","data":{"article":7,"text":"hi"}}`), seen{"a", "hi"}},
		"JSON in base64":        {foreign(`{"specversion":"1.0","id":"c","source":"/x","type":"t","data_base64":"eyJhcnRpY2xlIjo3LCJ0ZXh0IjoiaGkifQ=="}`), seen{"c", "hi"}},
		"of unknown attributes": {foreign(`{"specversion":"1.0","id":"d","source":"/x","type":"t","shoe":9,"data":{"article":7,"text":"hi"}}`), seen{"d", "hi"}},
	} {
		if err := b.Emit(ctx, "comments", "posted", c.m); err != nil {
			t.Fatal(err)
		}
		if got := <-handled; got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
	for body, want := range map[string]string{
		`{"specversion":"0.3","id":"a","source":"/x","type":"t"}`: `version "0.3"`,
		`{"specversion":"1.0","source":"/x","type":"t"}`:          "without an id",
		`{"specversion":"1.0","id":"b","source":"/x","type":"t"}`: "is null",
		`[1]`: "not a CloudEvent",
		`{"specversion":"1.0","id":"a","source":"/x","type":"t","datacontenttype":"image/png","data_base64":"eA=="}`: `"image/png" is not accepted`,
	} {
		if err := b.Emit(ctx, "comments", "posted", foreign(body)); err != nil {
			t.Fatal(err)
		}
		for reason := ""; !strings.Contains(reason, want); {
			if ctx.Err() != nil {
				t.Fatalf("%s: there is no dead letter with %q", body, want)
			}
			for l, err := range b.DeadLetters(ctx, broker.DeadLetterFilter{}) {
				if err != nil {
					t.Fatal(err)
				}
				if reason = l.Reason; strings.Contains(reason, want) {
					break
				}
			}
			time.Sleep(time.Millisecond)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
