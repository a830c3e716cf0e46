package amqp

import (
	"context"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// TestStaleRequests: a request that nobody waits for any more is not started,
// whether its deadline has long passed or it waited here for a worker.
func TestStaleRequests(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	service := name("svc")
	begun, free := make(chan string, 10), make(chan struct{})
	join(t, d, broker.Service{Instance: broker.Instance{Name: service}, Workers: 2, Serve: func(_ context.Context, method string, req *broker.Message) *broker.Message {
		begun <- method
		if method == "slow" {
			<-free
		}
		return req
	}})
	send := func(method string, left int64, deadline time.Time) {
		s.publish(rpc.name, service+"."+method, amqp091.Publishing{ContentType: jsonType, ReplyTo: "nobody",
			Headers: amqp091.Table{headerLeft: left, headerDeadline: deadline.UnixMilli()}})
	}
	hour := int64(time.Hour / time.Millisecond)
	send("late", hour, time.Now().Add(-2*clockSkew))
	send("skewed", hour, time.Now().Add(-clockSkew/2))
	if got := next(t, "a request", begun); got != "skewed" {
		t.Errorf("%s was started, want the one whose sender's clock may be wrong", got)
	}
	old := &delivery{Delivery: wire.Delivery{Message: wire.Message{Headers: wire.Table{headerLeft: int64(50)}}}, arrived: time.Now().Add(-time.Second)}
	if !isStale(old) {
		t.Error("a request that was here for a second and is wanted for 50 ms counts as wanted")
	}
	close(free)
}

// TestRetriedByNamekoAMQPRetry: nameko-amqp-retry sends a request again to the
// queue itself, and says in a header what it is for.
func TestRetriedByNamekoAMQPRetry(t *testing.T) {
	d, s := dial(t, Config{}), newSniffer(t)
	service := name("svc")
	got := make(chan *broker.Message, 1)
	join(t, d, broker.Service{Instance: broker.Instance{Name: service}, Serve: func(_ context.Context, method string, req *broker.Message) *broker.Message {
		req.ID = method
		got <- req
		return req
	}})
	s.publish("", "rpc-"+service, amqp091.Publishing{ContentType: jsonType, ReplyTo: "nobody", Headers: amqp091.Table{
		headerMethodID: service + ".charge", headerBackoff: int32(1000), "nameko.language": "de",
		"x-death": []any{amqp091.Table{"queue": "backoff--1000ms", "count": int64(1)}},
	}})
	m := next(t, "the request", got)
	if m.ID != "charge" || len(m.Context) != 1 || m.Context["language"] != "de" {
		t.Errorf("method %q with context data %v, want charge, and nothing of the retry", m.ID, m.Context)
	}
}
