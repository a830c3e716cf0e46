package site

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/enoki-go/enoki/examples/comments/store"
	"github.com/enoki-go/enoki/outbox"
)

const (
	eventStream  = "comments"
	eventSubject = "comments.posted"
)

// tell starts the relay of events and the service push.
func (h *byHand) tell(ctx context.Context) error {
	js, err := jetstream.New(h.conn)
	if err != nil {
		return err
	}
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: eventStream, Subjects: []string{eventSubject}, Retention: jetstream.InterestPolicy, Storage: jetstream.FileStorage,
	})
	if err != nil {
		return err
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "push", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		return err
	}
	go h.relay(ctx, js)
	lanes := h.lanes(ctx)
	_, err = consumer.Consume(func(m jetstream.Msg) {
		var c store.Comment
		if err := json.Unmarshal(m.Data(), &c); err != nil {
			_ = m.Term() // it stays as unreadable as it is
			return
		}
		lanes[int(c.ArticleUserID[len(c.ArticleUserID)-1])%users] <- told{m, c}
	})
	return err
}

// relay emits what waits in the store, as often as something is added.
func (h *byHand) relay(ctx context.Context, js jetstream.JetStream) {
	for range h.kept.Added() {
		err := h.kept.Relay(ctx, func(ctx context.Context, r outbox.Record) error {
			_, err := js.Publish(ctx, eventSubject, r.Message, jetstream.WithMsgID(r.Event))
			return err
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, "relay:", err)
		}
	}
}

// told is an event on its way to an author.
type told struct {
	jetstream.Msg
	comment store.Comment
}

// lanes keep the order of each author's comments.
func (h *byHand) lanes(ctx context.Context) []chan told {
	lanes := make([]chan told, users)
	for i := range lanes {
		lanes[i] = make(chan told, 64)
		go func() {
			for t := range lanes[i] {
				if err := h.push(ctx, t); err != nil {
					fmt.Fprintln(os.Stderr, "push:", err)
					_ = t.NakWithDelay(time.Second) // else it comes again later
					continue
				}
				_ = t.Ack() // else it comes again, and is known
			}
		}()
	}
	return lanes
}

func (h *byHand) push(ctx context.Context, t told) error {
	user, err := h.find(t.comment.ArticleUserID)
	if err != nil || user == nil {
		return err
	}
	return h.kept.AddNotification(ctx, t.comment.ArticleUserID, store.Notification{
		EventID: fmt.Sprint(t.comment.ID), Time: time.Now(), Language: user.Language, Text: t.comment.Content,
	})
}
