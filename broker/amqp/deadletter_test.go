package amqp

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
)

// heldLetters returns the dead letters that f picks, which are no longer in hand.
func heldLetters(t *testing.T, d *Driver, f broker.DeadLetterFilter) (letters []*broker.HeldLetter) {
	t.Helper()
	for l, err := range d.DeadLetters(within(t, patience), f) {
		if err != nil {
			t.Fatal(err)
		}
		letters = append(letters, l)
	}
	return letters
}

// A letter that was sent twice, because its confirm was lost, is one letter.
func TestDeadLetterSentTwice(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	heldLetters(t, d, broker.DeadLetterFilter{}) // declares the queue
	service := name("svc")
	for range 2 {
		s.publish("", dead.name, amqp091.Publishing{Body: []byte("x"), Headers: amqp091.Table{headerID: service, headerService: service}})
	}
	last := broker.DeadLetterFilter{Service: name("last")} // of one channel, so both copies are there before it
	s.publish("", dead.name, amqp091.Publishing{Headers: amqp091.Table{headerService: last.Service}})
	until(t, "the last letter is there", func() error {
		if len(heldLetters(t, d, last)) == 0 {
			return errors.New("it is not")
		}
		return nil
	})
	f := broker.DeadLetterFilter{Service: service}
	if n := len(heldLetters(t, d, f)); n != 1 {
		t.Errorf("there are %d letters, want 1", n)
	}
	for l, err := range d.DeadLetters(t.Context(), f) {
		if err == nil {
			err = l.Discard(t.Context())
		}
		if err != nil {
			t.Error(err)
		}
	}
	if n := len(heldLetters(t, d, f)); n != 0 {
		t.Errorf("after its discard there are %d letters, want none", n)
	}
}

// What somebody else has put there is shown, keeps its id, and can be discarded.
func TestForeignDeadLetter(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	heldLetters(t, d, broker.DeadLetterFilter{})
	body := name("by hand")
	s.publish("", dead.name, amqp091.Publishing{Body: []byte(body), Headers: amqp091.Table{"color": "red"}})
	var id string
	until(t, "the letter is there", func() error {
		for _, l := range heldLetters(t, d, broker.DeadLetterFilter{}) {
			if string(l.Message.Body) == body && l.Message.Context["color"] == "red" {
				id = l.ID
				return nil
			}
		}
		return errors.New("it is not")
	})
	for l, err := range d.DeadLetters(t.Context(), broker.DeadLetterFilter{IDs: []string{id}}) {
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Retry(t.Context()); !errors.Is(err, broker.ErrNotDelivered) {
			t.Errorf("Retry of a letter from nowhere: %v, want ErrNotDelivered", err)
		}
		if err := l.Discard(t.Context()); err != nil {
			t.Error(err)
		}
		if err := l.Discard(t.Context()); !errors.Is(err, broker.ErrGone) {
			t.Errorf("Discard once more: %v, want ErrGone", err)
		}
	}
	if left := heldLetters(t, d, broker.DeadLetterFilter{IDs: []string{id}}); len(left) != 0 {
		t.Errorf("%d letters are left", len(left))
	}
}

// One reader at a time has the letters; nothing can be done to one that is out
// of hand.
func TestDeadLettersHaveOneReader(t *testing.T) {
	d, other, s := dial(t, Config{}), dial(t, Config{}), newSniffer(t)
	heldLetters(t, d, broker.DeadLetterFilter{})
	f := broker.DeadLetterFilter{Service: name("svc")}
	s.publish("", dead.name, amqp091.Publishing{Headers: amqp091.Table{headerService: f.Service, headerQueue: "q"}})
	until(t, "the letter is there", func() error {
		if len(heldLetters(t, d, f)) == 0 {
			return errors.New("it is not")
		}
		return nil
	})
	var late *broker.HeldLetter
	for l := range d.DeadLetters(t.Context(), f) {
		late = l
		for who, link := range map[string]*Driver{"somebody else": other, "this program": d} {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			for _, err := range link.DeadLetters(ctx, f) {
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), who) {
					t.Errorf("a second loop: got error %v, want one that names %s", err, who)
				}
			}
			cancel()
		}
	}
	for what, do := range map[string]func(context.Context) error{"Retry": late.Retry, "Discard": late.Discard} {
		if err := do(t.Context()); !errors.Is(err, broker.ErrNotDelivered) {
			t.Errorf("%s after the loop: got error %v, want ErrNotDelivered", what, err)
		}
	}
	if n := len(heldLetters(t, other, f)); n != 1 {
		t.Errorf("the next reader finds %d letters, want 1", n)
	}
}
