package nameko_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/nameko"
)

// TestTaggedGoesBackAsItCame sends values as Python does, with kombu of either
// kind, to a method that returns them.
func TestTaggedGoesBackAsItCame(t *testing.T) {
	type order struct {
		ID    nameko.Tagged   `json:"id"`
		Times []nameko.Tagged `json:"times"`
		Price *nameko.Tagged  `json:"price"`
	}
	echo := func(_ context.Context, v nameko.Tagged, o order) (nameko.Tagged, order, error) { return v, o, nil }
	ctx, stop := context.WithCancel(t.Context())
	b, ready, ended := memory.New(), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- enoki.Run(ctx, b, &enoki.Options{Logger: slog.New(slog.DiscardHandler), OnReady: func() { close(ready) }},
			enoki.NewService("orders", enoki.Method("echo", echo, "v", "o")))
	}()
	<-ready
	for _, value := range []string{
		`"1.50"`,
		`{"__type__":"decimal","__value__":"1.50"}`,
		`{"__type__":"datetime","__value__":"2026-11-29T12:00:00+00:00"}`,
		`{"__type__":"uuid","__value__":{"hex":"12345678123456781234567812345678","version":null}}`,
		`{"__type__":"uuid","__value__":{"hex":"123456781234467891ab567812345678","version":4}}`,
		`{"__type__":"bytes","__value__":"abc"}`,
		`{"__type__":"base64","__value__":"/w=="}`,
	} {
		body := `{"args":[` + value + `,{"id":` + value + `,"times":[` + value + `],"price":null}],"kwargs":{}}`
		reply, err := b.Call(ctx, "orders", "echo", &broker.Message{ID: value, ContentType: "application/json", Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		want := `{"result":[` + value + `,{"id":` + value + `,"times":[` + value + `],"price":null}],"error":null}`
		if got := string(reply.Body); !sameJSON(t, got, want) {
			t.Errorf("%s comes back as\n%s, want\n%s", value, got, want)
		}
	}
	reply, err := b.Call(ctx, "orders", "echo", &broker.Message{ID: "x", ContentType: "application/json",
		Body: []byte(`{"args":[{"__type__":"mine","__value__":"1"},{"id":"1","times":[],"price":null}],"kwargs":{}}`)})
	var refused struct{ Error *struct{ Code string } }
	if err != nil || json.Unmarshal(reply.Body, &refused) != nil || refused.Error == nil {
		t.Errorf("an object that is no value of kombu's: %s, %v", reply.Body, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var canonical [2]string
	for i, text := range []string{a, b} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		out, _ := json.Marshal(v) // it was JSON
		canonical[i] = string(out)
	}
	return canonical[0] == canonical[1]
}

func TestTaggedValues(t *testing.T) {
	if at, err := (nameko.Tagged{Type: "date", Text: "2026-11-29"}).Time(); err != nil || at.Unix() != 1795910400 {
		t.Errorf("a date is %v, %v", at, err)
	}
	if b, err := (nameko.Tagged{Type: "base64", Text: "/w=="}).Bytes(); err != nil || string(b) != "\xff" {
		t.Errorf("bytes are %q, %v", b, err)
	}
	if _, err := json.Marshal(nameko.Tagged{Type: "money", Text: "1"}); err == nil {
		t.Error("a type that kombu has not is written")
	}
}
