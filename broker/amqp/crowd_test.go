package amqp

import (
	"context"
	"fmt"
	"testing"

	"github.com/enoki-go/enoki/broker"
)

// TestFurtherConnections has more consumers than one connection may have.
func TestFurtherConnections(t *testing.T) {
	t.Parallel()
	d := dial(t, Config{consumersPerLink: 2 * ownConsumers})
	ctx := within(t, patience)
	var members []broker.Member
	for i := range 5 {
		members = append(members, joinCrowd(ctx, t, d, i))
	}
	if n := len(d.crowd.links); n != 3 {
		t.Errorf("5 members have %d connections, want 3", n)
	}
	for i := range members {
		reply, err := d.Call(ctx, fmt.Sprint("crowd", i), "who", &broker.Message{ContentType: "application/json", Body: []byte("{}")})
		if err != nil || string(reply.Body) != fmt.Sprint(i) {
			t.Errorf("call to member %d: %v, %v", i, reply, err)
		}
	}
	if err := members[0].Leave(ctx); err != nil {
		t.Fatal(err)
	}
	joinCrowd(ctx, t, d, 5)
	if n := len(d.crowd.links); n != 3 {
		t.Errorf("%d connections after one has taken the place of another, want 3", n)
	}
	joinCrowd(ctx, t, d, 6)
	if n := len(d.crowd.links); n != 3 {
		t.Errorf("%d connections for 6 members, want 3", n)
	}
}

func joinCrowd(ctx context.Context, t *testing.T, d *Driver, i int) broker.Member {
	t.Helper()
	m, err := d.Join(ctx, broker.Service{
		Instance: broker.Instance{Name: fmt.Sprint("crowd", i), ID: fmt.Sprint("id", i)}, Workers: 1,
		Serve: func(context.Context, string, *broker.Message) *broker.Message {
			return &broker.Message{ContentType: "application/json", Body: []byte(fmt.Sprint(i))}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Leave(context.Background()) }) // it may have left
	return m
}
