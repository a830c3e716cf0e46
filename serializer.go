package enoki

import (
	"fmt"
	"strings"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/contract"
)

const jsonType = "application/json"

// Serializer translates bodies between JSON and another form. It works at the
// edge, so contracts and handlers only see JSON. Package serializer has the
// forms that Nameko knows.
type Serializer struct {
	Name        string // the name in settings, such as "msgpack"
	ContentType string // the media type of its bodies, without parameters

	// Decode turns a body into JSON. Encode turns JSON into a body. Both may be
	// called concurrently.
	Decode func(body []byte) (json []byte, err error)
	Encode func(json []byte) (body []byte, err error)
}

// forms are the forms of bodies that a service or client reads, and the one
// that it writes.
type forms struct {
	send   *Serializer // nil means JSON
	accept []Serializer
}

func formsOf(o *Options) forms {
	f := forms{send: o.Serializer, accept: o.Accept}
	if f.send != nil {
		f.accept = append([]Serializer{*f.send}, f.accept...)
	}
	return f
}

// find returns the serializer of a content type. It is nil for JSON, which is
// always read. A missing content type means JSON.
func (f *forms) find(contentType string) (*Serializer, error) {
	media, _, _ := strings.Cut(contentType, ";")
	if media == "" || media == jsonType {
		return nil, nil
	}
	accepted := jsonType
	for i := range f.accept {
		if f.accept[i].ContentType == media {
			return &f.accept[i], nil
		}
		accepted += ", " + f.accept[i].ContentType
	}
	if media == "application/x-python-serialize" {
		return nil, fmt.Errorf("content type %q is not accepted: a pickle runs code of whoever sent it; send %s", contentType, accepted)
	}
	return nil, fmt.Errorf("content type %q is not accepted; send %s", contentType, accepted)
}

// read returns the body of a message as JSON, and the serializer for the reply.
func (f *forms) read(m *broker.Message) (body []byte, answer *Serializer, err error) {
	body, answer, err = f.open(m)
	return answer.words(body), answer, err
}

// open is like read, but the body may still contain kombu's tagged values.
// s.plain or s.words removes them.
func (f *forms) open(m *broker.Message) (body []byte, s *Serializer, err error) {
	defer fault.Rescue(&err)
	if isCloudEvent(m) {
		if m, err = unwrap(m); err != nil {
			return nil, nil, err
		}
	}
	s, err = f.find(m.ContentType)
	if s == nil || err != nil {
		return m.Body, nil, err
	}
	body, err = s.Decode(m.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("body is not %s: %w", s.ContentType, err)
	}
	return body, s, nil
}

// words turns kombu's JSON into plain JSON. Tagged values stay objects.
func (s *Serializer) words(body []byte) []byte {
	if s != nil {
		return body
	}
	return contract.PlainWords(body)
}

// plain turns kombu's JSON into plain JSON. Tagged values become text.
func (s *Serializer) plain(body []byte) []byte {
	if s != nil {
		return body
	}
	return contract.PlainJSON(body)
}

// message returns a message whose body is the JSON body in the form of s.
func (s *Serializer) message(body []byte) (m *broker.Message, err error) {
	defer fault.Rescue(&err)
	if s == nil {
		return &broker.Message{ContentType: jsonType, Body: body}, nil
	}
	body, err = s.Encode(body)
	if err != nil {
		return nil, fmt.Errorf("body can't be written as %s: %w", s.ContentType, err)
	}
	return &broker.Message{ContentType: s.ContentType, Body: body}, nil
}
