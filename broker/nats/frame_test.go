package nats

import (
	"log/slog"
	"reflect"
	"strings"
	"testing"

	natsgo "github.com/nats-io/nats.go"

	"github.com/enoki-go/enoki/broker"
)

func TestFrame(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, want := range []*broker.Message{
		{},
		{ID: "1", ContentType: "application/json", Body: []byte(`{"args":[]}`), Context: map[string]any{"timeout": int64(5)}},
		{ID: long, Body: []byte{frameMark}, Context: map[string]any{"k": long}},
		{ContentType: "a\r\nb: c", Body: []byte(long)},
	} {
		data, err := appendFrame(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		got := readFrame(&natsgo.Msg{Data: data}, slog.Default())
		if got == nil || got.ID != want.ID || got.ContentType != want.ContentType || string(got.Body) != string(want.Body) ||
			!reflect.DeepEqual(got.Context, want.Context) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		for cut := range min(len(data)-len(want.Body), 20) {
			if got := readFrame(&natsgo.Msg{Data: data[:cut]}, slog.Default()); got != nil {
				t.Errorf("%d bytes of %q are read as a frame: %+v", cut, data, got)
			}
		}
	}
}
