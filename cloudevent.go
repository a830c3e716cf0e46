package enoki

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/contract"
)

// cloudEventType is the media type of a CloudEvent in its structured mode. In
// that mode an event travels like any other body.
const cloudEventType = "application/cloudevents+json"

// cloudEvent is the envelope of CloudEvents 1.0 with the extensions for
// distributed tracing.
type cloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Subject         string          `json:"subject,omitempty"`
	Time            time.Time       `json:"time,omitzero"`
	DataContentType string          `json:"datacontenttype,omitempty"`
	TraceParent     string          `json:"traceparent,omitempty"`
	TraceState      string          `json:"tracestate,omitempty"`
	Data            json.RawMessage `json:"data,omitempty"`        // JSON
	DataBase64      []byte          `json:"data_base64,omitempty"` // a body of any other type
}

// envelop puts the body of m into a CloudEvent.
func envelop(m *broker.Message, source, event, subject string) error {
	e := cloudEvent{
		SpecVersion: "1.0", ID: m.ID, Source: source, Type: source + "." + event, Subject: subject,
		Time: time.Now().UTC(), DataContentType: m.ContentType,
	}
	e.TraceParent, _ = m.Context["traceparent"].(string)
	e.TraceState, _ = m.Context["tracestate"].(string)
	if m.ContentType == jsonType {
		e.Data = m.Body
	} else {
		e.DataBase64 = m.Body
	}
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	m.ContentType, m.Body = cloudEventType, body
	return nil
}

func isCloudEvent(m *broker.Message) bool {
	media, _, _ := strings.Cut(m.ContentType, ";")
	return strings.TrimSpace(media) == cloudEventType
}

// unwrap returns the message inside a CloudEvent, with the event's id.
func unwrap(m *broker.Message) (*broker.Message, error) {
	var e cloudEvent
	if err := json.Unmarshal(m.Body, &e); err != nil {
		return nil, fmt.Errorf("body is not a CloudEvent: %w", contract.Unfit(reflect.TypeFor[cloudEvent](), err))
	}
	switch {
	case e.SpecVersion != "1.0":
		return nil, fmt.Errorf("body is a CloudEvent of version %q; send version 1.0", e.SpecVersion)
	case e.ID == "" || e.Source == "" || e.Type == "":
		return nil, errors.New("body is a CloudEvent without an id, a source or a type; give it all three")
	}
	inner := *m
	inner.ID, inner.ContentType, inner.Body = e.ID, e.DataContentType, e.DataBase64
	if e.DataBase64 == nil { // data is JSON, even when it is a JSON string
		inner.ContentType, inner.Body = jsonType, e.Data
	}
	if len(inner.Body) == 0 {
		inner.ContentType, inner.Body = jsonType, []byte("null")
	}
	return &inner, nil
}
