package outbox

import (
	"encoding/json"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/contextdata"
)

// message is the form in which an event waits. It is JSON, so that people can
// read it in their database.
type message struct {
	ID          string          `json:"id"`
	Context     json.RawMessage `json:"context,omitempty"`
	ContentType string          `json:"content_type,omitempty"`
	Body        []byte          `json:"body,omitempty"` // base64, because it need not be JSON
	Due         time.Time       `json:"due,omitzero"`
}

func encode(m *broker.Message) ([]byte, error) {
	w := message{ID: m.ID, ContentType: m.ContentType, Body: m.Body, Due: m.Due}
	var err error
	if w.Context, err = contextdata.Append(nil, m.Context); err != nil {
		return nil, err
	}
	return json.Marshal(w)
}

func decode(text []byte) (*broker.Message, error) {
	var w message
	if err := json.Unmarshal(text, &w); err != nil {
		return nil, err
	}
	m := &broker.Message{ID: w.ID, ContentType: w.ContentType, Body: w.Body, Due: w.Due}
	if w.Context == nil {
		return m, nil
	}
	var err error
	m.Context, err = contextdata.Parse(string(w.Context))
	return m, err
}
