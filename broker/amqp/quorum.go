package amqp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"

	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// Quorum is the [Config.QueueType] of queues that are stored by most nodes of a
// cluster, and survive the loss of the others.
const Quorum = "quorum"

// CheckQueueType returns an error unless a Config can have the type.
func CheckQueueType(name string) error {
	if name != "" && name != Quorum {
		return errors.New("want quorum, or nothing for what the vhost's default is")
	}
	return nil
}

// lasting has q, which is to outlive its instances, be of the type that is
// configured.
func (d *Driver) lasting(q queue) queue {
	q.quorum = d.config.QueueType == Quorum && !q.exclusive && !q.autoDelete
	return q
}

// warnOfCluster tells what is lost with a node. Only the URL shows here that
// there are several.
func (d *Driver) warnOfCluster(a address) {
	if len(a.hosts) > 1 && d.config.QueueType == "" {
		d.log.Warn("several hosts, and no queue type: unless quorum is the default of the vhost, events are lost "+
			"while the node of a classic queue is down, though emit returns nil; set queue-type to quorum", "broker", a.masked)
	}
}

// asItIs returns q with its type: quorum if it asks for that and there is none
// yet, or else the type that the queue has. RabbitMQ can't change it, and the
// services that share the queue agree on it.
func (q queue) asItIs(ctx context.Context, s *session, log *slog.Logger) (queue, error) {
	if !q.quorum {
		return q, nil
	}
	ch, err := s.Channel(ctx)
	if err != nil {
		return q, err
	}
	defer s.leave(ch) // a refusal has closed it already
	plain := q.args
	q.args = typed(plain, Quorum)
	err = ch.DeclareQueue(ctx, q.wire())
	refused, ok := errors.AsType[*wire.Error](err)
	if err == nil || !ok || refused.Code != wire.PreconditionFailed {
		return q, explainDeclare(q, err)
	}
	found := otherFlags.FindStringSubmatch(refused.Reason)
	if found == nil || found[1] != "x-queue-type" {
		return q, explainDeclare(q, err)
	}
	q.args = plain
	has, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(found[6], "the value "), "'"), "'")
	if has != "none" {
		q.args = typed(plain, has)
	}
	log.Warn("a queue exists that is no quorum queue, and is used as it is: what it holds is lost or stands still with its node; "+
		"to have a quorum queue, let its services empty it, stop those who send to it, delete it, and start them again",
		"queue", q.name, "delete", fmt.Sprintf("rabbitmqctl -p %s delete_queue %s", found[4], q.name))
	return q, nil
}

func typed(args wire.Table, name string) wire.Table {
	table := maps.Clone(args)
	if table == nil {
		table = wire.Table{}
	}
	table["x-queue-type"] = name
	return table
}
