// Program shop is the Go half of the service of the rolling move; the Python
// half is python/shop.py. It prints a line for each call and each event that
// it handles.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/host"
)

// work is how long a call and an event take: long enough that an instance
// always has some at hand when it is killed.
const work = 100 * time.Millisecond

type order struct {
	ID string `json:"id"`
}

func main() {
	host.Main(enoki.NewService("shop",
		enoki.Method("price", price, "id"),
		enoki.Subscription[order]{Event: enoki.NewEvent[order]("orders", "placed"), Handle: onPlaced, Name: "on_placed"},
	))
}

func price(ctx context.Context, id string) (order, error) {
	fmt.Println("call", id)
	return order{id}, wait(ctx)
}

func onPlaced(ctx context.Context, o order) error {
	if err := wait(ctx); err != nil {
		return err
	}
	fmt.Println("event", o.ID)
	return nil
}

func wait(ctx context.Context) error {
	select {
	case <-time.After(work):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
