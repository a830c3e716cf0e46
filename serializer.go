package enoki

import (
	"fmt"
	"strings"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/contract"
)

const jsonType = "application/json"

// Serializer carries bodies in another form than JSON: it turns the one into
// the other at the edge, so contracts and handlers know JSON only. Package
// serializer has those that Nameko knows.
type Serializer struct {
	Name        string // as settings have it, such as "msgpack"
	ContentType string // the media type of its bodies, without parameters

	// Decode turns a body into JSON, and Encode JSON into a body. Both may be
	// called concurrently.
	Decode func(body []byte) (json []byte, err error)
	Encode func(json []byte) (body []byte, err error)
}

// forms are the forms of bodies that a service or client reads, and the one
// that it writes.
type forms struct {
	send   *Serializer // nil is JSON
	accept []Serializer
}

func formsOf(o *Options) forms {
	f := forms{send: o.Serializer, accept: o.Accept}
	if f.send != nil {
		f.accept = append([]Serializer{*f.send}, f.accept...)
	}
	return f
}

// find returns the serializer of a content type, nil for JSON, which is read
// always and is what a missing content type stands for.
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

// read returns the body of a message as JSON, and the serializer to answer
// with.
func (f *forms) read(m *broker.Message) (body []byte, answer *Serializer, err error) {
	body, answer, err = f.open(m)
	return answer.words(body), answer, err
}

// open is read that may leave kombu's dialect in a body that s.plain then
// makes JSON of.
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

// words makes JSON of what came as JSON, but that tagged values stay objects.
func (s *Serializer) words(body []byte) []byte {
	if s != nil {
		return body
	}
	return contract.PlainWords(body)
}

// plain makes JSON of what came as JSON, with text for tagged values.
func (s *Serializer) plain(body []byte) []byte {
	if s != nil {
		return body
	}
	return contract.PlainJSON(body)
}

// message returns a message with a JSON body in the form of s.
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
