package nats_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	natsgo "github.com/nats-io/nats.go"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
)

// deadLetters returns all dead letters, oldest first.
func deadLetters(t testing.TB, link broker.Broker) ([]*broker.HeldLetter, error) {
	t.Helper()
	var letters []*broker.HeldLetter
	for l, err := range link.DeadLetters(t.Context(), broker.DeadLetterFilter{}) {
		if err != nil {
			return nil, err
		}
		letters = append(letters, l)
	}
	return letters, nil
}

// awaitLetter waits for the one dead letter.
func awaitLetter(t testing.TB, link broker.Broker) (l *broker.HeldLetter) {
	t.Helper()
	eventually(t, func() error {
		letters, err := deadLetters(t, link)
		if err != nil || len(letters) != 1 {
			return fmt.Errorf("got %d dead letters and error %v, want 1", len(letters), err)
		}
		l = letters[0]
		return nil
	})
	return l
}

// TestRetryOfCall: a request that could not be read is sent again, and is lost
// neither when it still can't be read nor when nobody is there.
func TestRetryOfCall(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	link := open(t, nats.Config{InProcess: server})
	got := make(chan *broker.Message, 1)
	m := join(t, link, serves(func(_ context.Context, _ string, req *broker.Message) *broker.Message {
		if string(req.Body) == "{" {
			return &broker.Message{Reject: "not JSON", RejectKind: "malformed_request"}
		}
		got <- req
		return &broker.Message{}
	}))
	if err := client(t, server).Publish("enoki.rpc.register.check", []byte("{")); err != nil {
		t.Fatal(err)
	}
	first := awaitLetter(t, link)
	if err := first.Retry(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Retry(t.Context()); !errors.Is(err, broker.ErrGone) {
		t.Errorf("Retry of a letter that is gone: %v, want ErrGone", err)
	}
	second := awaitLetter(t, link)
	if second.ID == first.ID || second.Revived != 1 || second.Kind != "malformed_request" || !second.First.Equal(first.First) {
		t.Errorf("the letter that died again is %+v, the first one was %+v", second.DeadLetter, first.DeadLetter)
	}
	second.Message.Body = []byte("{}")
	if err := second.Retry(t.Context()); err != nil {
		t.Fatal(err)
	}
	if req := receive(t, "the edited request", got); string(req.Body) != "{}" {
		t.Errorf("the handler got %q, want the edited body", req.Body)
	}
	if letters, err := deadLetters(t, link); err != nil || len(letters) != 0 {
		t.Errorf("%d letters are left, error %v", len(letters), err)
	}

	if err := client(t, server).Publish("enoki.rpc.register.check", []byte("{")); err != nil {
		t.Fatal(err)
	}
	third := awaitLetter(t, link)
	if err := m.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := third.Retry(t.Context()); !errors.Is(err, broker.ErrNotDelivered) {
		t.Errorf("Retry while nobody serves: %v, want ErrNotDelivered", err)
	}
	awaitLetter(t, link)
}

// TestForeignDeadLetter: what somebody else has put there is shown and can be
// discarded.
func TestForeignDeadLetter(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	link := open(t, nats.Config{InProcess: server})
	if _, err := jetStream(t, server).Publish(t.Context(), "enoki.dead.by.hand", []byte("x")); err != nil {
		t.Fatal(err)
	}
	l := awaitLetter(t, link)
	if string(l.Message.Body) != "x" || !strings.Contains(l.Reason, "enoki.dead.by.hand") {
		t.Errorf("the letter is %+v", l.DeadLetter)
	}
	if err := l.Retry(t.Context()); !errors.Is(err, broker.ErrNotDelivered) {
		t.Errorf("Retry of a letter from nowhere: %v, want ErrNotDelivered", err)
	}
	for l, err := range link.DeadLetters(t.Context(), broker.DeadLetterFilter{IDs: []string{l.ID}}) {
		if err == nil {
			err = l.Discard(t.Context())
		}
		if err != nil {
			t.Error(err)
		}
	}
	if letters, err := deadLetters(t, link); err != nil || len(letters) != 0 {
		t.Errorf("%d letters are left, error %v", len(letters), err)
	}
}

// TestRetryAfterConsumerWasMadeAnew: what went to a consumer that is gone is no
// reason to drop what goes to the next one.
func TestRetryAfterConsumerWasMadeAnew(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	link := open(t, nats.Config{InProcess: server})
	got, mended := make(chan string, 10), make(chan bool)
	join(t, link, handles(func(_ context.Context, m *broker.Message) broker.Settlement {
		select {
		case <-mended:
			got <- m.ID
			return broker.Settlement{}
		default:
			return broker.Settlement{Verdict: broker.Reject, Reason: "no"}
		}
	}))
	if err := link.Emit(t.Context(), "comments", "posted", &broker.Message{ID: "x"}); err != nil {
		t.Fatal(err)
	}
	letter := awaitLetter(t, link)
	close(mended)
	js := jetStream(t, server)
	dead, err := js.Stream(t.Context(), "ENOKI_DEAD")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := dead.GetLastMsgForSubject(t.Context(), "enoki.dead.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := letter.Retry(t.Context()); err != nil {
		t.Fatal(err)
	}
	receive(t, "the retried event", got)

	// As if the command had died before it deleted the letter.
	again := &natsgo.Msg{Subject: stored.Subject, Data: stored.Data, Header: natsgo.Header{"Enoki-Dead": stored.Header["Enoki-Dead"], "Enoki-Id": stored.Header["Enoki-Id"]}}
	if _, err := js.PublishMsg(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	events, err := js.Stream(t.Context(), "ENOKI_EVENTS_comments")
	if err != nil {
		t.Fatal(err)
	}
	name := (<-events.ConsumerNames(t.Context()).Name())
	if err := events.DeleteConsumer(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		_, err := events.Consumer(t.Context(), name)
		return errors.Join(err, link.Ready())
	})
	if err := awaitLetter(t, link).Retry(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id := receive(t, "the event, once more", got); id != "x" {
		t.Errorf("got %q, want x", id)
	}
}

// TestGreatestMessage: a foreign event as large as the server takes becomes a
// dead letter, whole or with its headers cut, rather than to come again for
// ever.
func TestGreatestMessage(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	link := open(t, nats.Config{InProcess: server})
	deliveries := make(chan string, 1000)
	join(t, link, handles(func(_ context.Context, m *broker.Message) broker.Settlement {
		deliveries <- m.ID
		return broker.Settlement{Verdict: broker.Reject, Reason: "can't be read"}
	}))
	nc := client(t, server)
	whole := make([]byte, 1<<20)
	for i := range whole {
		whole[i] = byte(i % 251)
	}
	large := strings.Repeat("h", 64<<10-100)
	for name, msg := range map[string]*natsgo.Msg{
		"body":    {Data: whole},
		"header":  {Header: natsgo.Header{"Foreign": {large}}},
		"both":    {Header: natsgo.Header{"Foreign": {large[1000:]}}, Data: whole[:1<<20-64<<10]},
		"context": {Header: natsgo.Header{"Enoki-Context": {large}}},
	} {
		t.Run(name, func(t *testing.T) {
			msg.Subject = "enoki.events.comments.posted"
			if err := nc.PublishMsg(msg); err != nil {
				t.Fatal(err)
			}
			letter := awaitLetter(t, link)
			if !bytes.Equal(letter.Message.Body, msg.Data) || letter.Reason != "can't be read" {
				t.Errorf("got a body of %d bytes, want the %d that came, and reason %q", len(letter.Message.Body), len(msg.Data), letter.Reason)
			}
			if name == "body" {
				if err := letter.Retry(t.Context()); !errors.Is(err, broker.ErrInvalid) {
					t.Errorf("Retry of what has no room for a header: %v, want ErrInvalid", err)
				}
			}
			if err := letter.Discard(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
	dead, err := jetStream(t, server).Stream(t.Context(), "ENOKI_DEAD")
	if err != nil {
		t.Fatal(err)
	}
	if n := dead.CachedInfo().State.Msgs; n != 0 {
		t.Errorf("%d messages are left of dead letters that were discarded", n)
	}
	if n := len(deliveries); n != 4 {
		t.Errorf("the handler had %d deliveries, want 4", n)
	}
}
