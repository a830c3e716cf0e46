package nats

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/enoki-go/enoki/broker"
)

// Discovery ends when no answer has come for this long. The first answer may
// take longer, because a busy machine may take its time. If there is no
// service, the server says so at once.
const (
	firstAnswer = time.Second
	quiet       = 300 * time.Millisecond

	maxInstances = 4096 // the most instances that one Services finds
)

// Services implements broker.Broker. It includes services that use NATS's own
// micro package, with name, id, version and methods.
func (d *Driver) Services(ctx context.Context) ([]broker.Instance, error) {
	if err := d.usable(ctx); err != nil {
		return nil, err
	}
	found := []broker.Instance{}
	err := d.ask(ctx, srvSubject(micro.InfoVerb), func(msg *natsgo.Msg) bool {
		if in, ok := instance(msg); ok {
			found = append(found, in)
		}
		return len(found) < maxInstances
	})
	if err != nil {
		return nil, fmt.Errorf("nats: services: %w", err)
	}
	slices.SortFunc(found, func(a, b broker.Instance) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return found, nil
}

// ask publishes an empty request and passes every answer to take. It ends when
// take returns false, when no more answers come, or when ctx ends.
func (d *Driver) ask(ctx context.Context, subject string, take func(*natsgo.Msg) bool) error {
	inbox := d.link.nc.NewInbox()
	sub, err := d.link.nc.SubscribeSync(inbox)
	if errors.Is(err, natsgo.ErrConnectionClosed) {
		return errClosed
	} else if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // it fails only if the connection is closed
	if err := d.publish(ctx, &natsgo.Msg{Subject: subject, Reply: inbox}); err != nil {
		return err
	}
	for patience := firstAnswer; ; patience = quiet {
		wait, cancel := context.WithTimeout(ctx, patience)
		msg, err := sub.NextMsgWithContext(wait)
		cancel()
		switch {
		case errors.Is(err, natsgo.ErrConnectionClosed), errors.Is(err, natsgo.ErrBadSubscription):
			return errClosed
		case err != nil || statusOf(msg) == noResponders || !d.taken(msg, take):
			return nil
		}
	}
}

// taken passes an answer to take. It skips an answer that can't be read.
func (d *Driver) taken(msg *natsgo.Msg, take func(*natsgo.Msg) bool) (goOn bool) {
	goOn = true
	defer d.guard("an answer to discovery", msg.Subject, nil)
	return take(msg)
}

// instance reads an answer to $SRV.INFO.
func instance(msg *natsgo.Msg) (broker.Instance, bool) {
	var info micro.Info
	if err := json.Unmarshal(msg.Data, &info); err != nil || info.Name == "" {
		return broker.Instance{}, false
	}
	var in broker.Instance
	if err := json.Unmarshal([]byte(info.Metadata[instanceKey]), &in); err == nil && in.Name != "" {
		return in, true
	}
	in = broker.Instance{Name: info.Name, ID: info.ID, Version: info.Version}
	for _, e := range info.Endpoints {
		in.Methods = append(in.Methods, broker.Method{Name: e.Name})
	}
	return in, true
}

// identity reads the sender of an answer to $SRV.PING.
func identity(msg *natsgo.Msg) micro.ServiceIdentity {
	var ping micro.Ping
	if err := json.Unmarshal(msg.Data, &ping); err != nil {
		return micro.ServiceIdentity{}
	}
	return ping.ServiceIdentity
}
