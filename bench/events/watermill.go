package events

import (
	"context"
	"encoding/json"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/enoki-go/enoki/bench/document"
	"github.com/enoki-go/enoki/bench/harness"
	"github.com/enoki-go/enoki/bench/service"
)

// subscribers is how many of Watermill's subscribers work at once: each waits
// until its message is acknowledged before it takes the next one.
const subscribers = 16

func serveWatermillNATS(ctx context.Context, w *harness.Work) (string, error) {
	if _, err := createStream(ctx, w, w.Broker); err != nil {
		return "", err
	}
	s, err := nats.NewSubscriber(nats.SubscriberConfig{
		URL: w.Broker, SubscribersCount: subscribers, QueueGroupPrefix: w.Name(),
		JetStream: nats.JetStreamConfig{DurablePrefix: w.Name(), AckAsync: true},
	}, watermill.NopLogger{})
	if err != nil {
		return "", err
	}
	return w.Broker, handleWatermill(ctx, w, s)
}

func dialWatermillNATS(_ context.Context, w *harness.Work) (harness.Operation, error) {
	p, err := nats.NewPublisher(nats.PublisherConfig{
		URL: w.Address, JetStream: nats.JetStreamConfig{TrackMsgId: true},
	}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	return publishWatermill(w, p)
}

func watermillAMQP(url string) amqp.Config {
	c := amqp.NewDurablePubSubConfig(url, amqp.GenerateQueueNameTopicName)
	c.Publish.ConfirmDelivery, c.Publish.ChannelPoolSize = true, subscribers
	c.Consume.Qos.PrefetchCount = service.Workers
	return c
}

func serveWatermillAMQP(ctx context.Context, w *harness.Work) (string, error) {
	s, err := amqp.NewSubscriber(watermillAMQP(w.Broker), watermill.NopLogger{})
	if err != nil {
		return "", err
	}
	for range subscribers {
		if err := handleWatermill(ctx, w, s); err != nil {
			return "", err
		}
	}
	return w.Broker, nil
}

func dialWatermillAMQP(_ context.Context, w *harness.Work) (harness.Operation, error) {
	p, err := amqp.NewPublisher(watermillAMQP(w.Address), watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	return publishWatermill(w, p)
}

func handleWatermill(ctx context.Context, w *harness.Work, s message.Subscriber) error {
	messages, err := s.Subscribe(ctx, w.Name())
	if err != nil {
		return err
	}
	go func() {
		for m := range messages {
			var d document.Document
			if err := json.Unmarshal(m.Payload, &d); err != nil {
				m.Nack()
				continue
			}
			w.Done()
			m.Ack()
		}
	}()
	return nil
}

func publishWatermill(w *harness.Work, p message.Publisher) (harness.Operation, error) {
	d, err := document.New(w.Size)
	return func(context.Context) error {
		body, err := json.Marshal(d)
		if err != nil {
			return err
		}
		return p.Publish(w.Name(), message.NewMessage(watermill.NewUUID(), body))
	}, err
}
