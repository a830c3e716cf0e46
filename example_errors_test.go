package enoki_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/fault"
)

// SoldOut is an error of the shop. Its fields cross the wire with it.
type SoldOut struct {
	Item string
	Left int
}

func (e SoldOut) Error() string { return fmt.Sprintf("only %d of %s left", e.Left, e.Item) }

func (SoldOut) Unwrap() error { return enoki.FailedPrecondition }

var soldOut = fault.TypeOf[SoldOut]("shop.exceptions.SoldOut")

// An error type that both sides declare crosses the wire as itself: its fields
// keep their types, and a Python service that has registered the class gets an
// instance of it. A mock that returns a SoldOut looks the same to its caller.
func Example_errorType() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	b := memory.New()
	shop := enoki.NewService("shop", enoki.Errors(soldOut),
		enoki.Method("buy", func(_ context.Context, item string, n int) error { return SoldOut{Item: item, Left: 3} }, "item", "n"))
	ready := make(chan struct{})
	go enoki.Run(ctx, b, &enoki.Options{Logger: quiet, OnReady: func() { close(ready) }}, shop)
	<-ready

	client := enoki.NewClient(b, &enoki.Options{Errors: []fault.Type{soldOut}})
	_, err := client.Call(ctx, "shop", "buy", []any{"tea", 4}, nil)
	var e SoldOut
	if errors.As(err, &e) {
		fmt.Printf("%d left of %s, code %s\n", e.Left, e.Item, enoki.CodeOf(err))
	}
	// Output: 3 left of tea, code failed_precondition
}
