package websocket

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// Whatever a client sends, what goes back is JSON in valid text, and has its
// correlation id.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"method":"echo","data":{"x":1},"correlation_id":"c1"}`, `{"method":[],"data":[1],"correlation_id":{"a":[null,1e9]}}`,
		`{"data":{}}`, `[1,2]`, `not json`, "{\"method\":\"\xff\"}", `{"method":"a","method":"b"}`, "{\"method\":\"\\ud800\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		r, unfit := parse(frame)
		correlation := null
		if unfit == nil {
			unfit, correlation = exception("Any", r.method), r.correlation
			if result := resultFrame(r.data, correlation); !json.Valid(result) || !utf8.Valid(result) {
				t.Errorf("%q gives the result %q", frame, result)
			}
		}
		answer := errorFrame(unfit, correlation)
		var fields struct {
			ID json.RawMessage `json:"correlation_id"`
		}
		if !utf8.Valid(answer) || json.Unmarshal(answer, &fields) != nil || string(fields.ID) != string(correlation) {
			t.Errorf("%q gives the error %q", frame, answer)
		}
	})
}

// A hub keeps nothing of sockets that have gone, or of channels without any.
func TestHubForgets(t *testing.T) {
	t.Parallel()
	h := NewHub(nil)
	for _, id := range []string{"a", "b"} {
		h.add(&socket{id: id, channels: map[string]struct{}{}})
		for _, channel := range []string{"both", "only " + id} {
			if err := h.Subscribe(id, channel); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.Unsubscribe("b", "only b")
	h.remove(h.sockets["a"])
	if len(h.sockets) != 1 || len(h.channels) != 1 || len(h.channels["both"]) != 1 {
		t.Errorf("the hub has %v and %v", h.sockets, h.channels)
	}
}
