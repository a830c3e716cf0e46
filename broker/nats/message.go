package nats

import (
	"fmt"
	"log/slog"
	"runtime/debug"

	natsgo "github.com/nats-io/nats.go"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/contextdata"
	"github.com/enoki-go/enoki/internal/uuid"
)

// Headers of a message.
const (
	idHeader      = "Enoki-Id"
	contextHeader = "Enoki-Context"
	typeHeader    = "Content-Type"

	// onewayHeader marks a request whose sender waits only until an instance
	// has started it.
	onewayHeader = "Enoki-Oneway"

	// errorHeader says in a reply without a body why the reply of the handler
	// could not be sent.
	errorHeader = "Enoki-Error"

	// deadHeader has the broker.DeadLetter of a message as JSON.
	deadHeader = "Enoki-Dead"

	// restHeader has the subject under which the end of the body of a dead
	// letter is stored that was too large for one message.
	restHeader = "Enoki-Rest"

	// frameHeader asks in a request for a frame as the reply. Who gets one may
	// send frames, too.
	frameHeader = "Enoki-Frame"

	// statusHeader is how the server marks messages of its own.
	statusHeader = "Status"
)

// encode makes a message for subject. The error says which context data can't
// be sent.
func encode(subject string, m *broker.Message) (*natsgo.Msg, error) {
	id := m.ID
	if id == "" {
		id = uuid.New()
	}
	header := natsgo.Header{idHeader: {id}}
	if m.ContentType != "" {
		header[typeHeader] = []string{m.ContentType}
	}
	if m.OneWay {
		header[onewayHeader] = []string{"1"}
	}
	if len(m.Context) > 0 {
		text, err := contextdata.Append(make([]byte, 0, 256), m.Context)
		if err != nil {
			return nil, fmt.Errorf("%w: context data %w", broker.ErrInvalid, err)
		}
		header[contextHeader] = []string{string(text)}
	}
	return &natsgo.Msg{Subject: subject, Header: header, Data: m.Body}, nil
}

// decode reads a message. Context data that can't be read is of a foreign
// sender; the message goes on without it.
func decode(msg *natsgo.Msg, log *slog.Logger) *broker.Message {
	m := &broker.Message{
		ID:          headerOf(msg, idHeader),
		ContentType: headerOf(msg, typeHeader),
		Body:        msg.Data,
		Attempt:     1,
		OneWay:      headerOf(msg, onewayHeader) != "",
	}
	m.Context = readContext(msg, headerOf(msg, contextHeader), log)
	return m
}

func readContext(msg *natsgo.Msg, text string, log *slog.Logger) map[string]any {
	if text == "" {
		return nil
	}
	data, err := contextdata.Parse(text)
	if err != nil {
		log.Warn("context data of a message can't be read", "subject", msg.Subject, "error", err)
	}
	return data
}

// decodeCall reads a request or a reply.
func decodeCall(msg *natsgo.Msg, log *slog.Logger) *broker.Message {
	if m := readFrame(msg, log); m != nil {
		return m
	}
	return decode(msg, log)
}

// headerOf reads a header of ours: by its exact case, which spares the
// canonicalisation of Header.Get.
func headerOf(msg *natsgo.Msg, name string) string {
	if values := msg.Header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// statusOf returns the status of a message that the server itself has sent, or
// "" for any other.
func statusOf(msg *natsgo.Msg) string {
	if len(msg.Data) > 0 {
		return ""
	}
	return headerOf(msg, statusHeader)
}

// noResponders is the server's answer to a request that nobody listens for.
const noResponders = "503"

// Subjects go into the control line of NATS's protocol. The server ends the
// connection of a client that writes a longer one than 4 KiB, so what others
// have written must not become a subject without a look.
const (
	// maxSubject is the most of a message's subject and reply subject together
	// that leaves the line its room for sizes, in bytes.
	maxSubject = 4096 - 64

	// maxForeign is the most that an instance may say as its name, in bytes as a
	// token.
	maxForeign = 512
)

// guard is to be deferred by what reads something that others have written: a
// panic there is a line in the log, and *err where err is not nil.
func (d *Driver) guard(what, subject string, err *error) {
	p := recover()
	if p == nil {
		return
	}
	failure := broker.Ended(p)
	d.log.Error(what+" can't be read", "subject", subject, "error", failure, "stack", string(debug.Stack()))
	if err != nil {
		*err = failure
	}
}
