package nameko_test

import (
	"context"
	"fmt"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/nameko"
)

// Order is what the shop and its stock tell each other.
type Order struct {
	ID   int    `json:"id"`
	Item string `json:"item"`
}

// orders and its queue as a program in Python declares them too:
//
//	orders = Exchange("orders", type="topic")
//	queue = Queue("stock", orders, routing_key="new.#")
var (
	orders = nameko.Exchange{Name: "orders", Type: "topic"}
	queue  = nameko.Queue{Name: "stock", Exchange: orders, RoutingKey: "new.#"}
)

// shop publishes its orders.
type shop struct {
	publish nameko.Publisher[Order]
}

func (s *shop) buy(ctx context.Context, item string) error {
	return s.publish(ctx, Order{1, item}, nameko.RoutingKey("new."+item))
}

func newShop() (*shop, *enoki.Service) {
	s := &shop{}
	return s, enoki.NewService("shop",
		enoki.Method("buy", s.buy, "item"),
		nameko.Publishes(orders, &s.publish, nameko.Mandatory(true)))
}

// In a test the publisher is a function like any other.
func ExamplePublishes() {
	s, service := newShop()
	fmt.Println(service.Check())

	s.publish = func(_ context.Context, o Order, _ ...nameko.PublishOption) error {
		fmt.Println("published", o)
		return nil
	}
	fmt.Println(s.buy(context.Background(), "book"))
	// Output:
	// <nil>
	// published {1 book}
	// <nil>
}

func ExampleConsume() {
	reserve := func(_ context.Context, o Order) error {
		fmt.Println("reserved", o.Item)
		return nil
	}
	service := enoki.NewService("stock",
		nameko.Consume(queue, reserve, nameko.RequeueOnError(), nameko.Prefetch(20)))
	fmt.Println(service.Describe(), service.Check())
	// Output: [consumer of queue "stock"] <nil>
}
