package enoki_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/enoki-go/enoki"
)

// transaction stands for one of a database.
type transaction struct{ rows []string }

// A database transaction for each call: committed when the handler succeeds,
// rolled back when it fails. With database/sql, open is db.BeginTx, and end
// calls Commit or Rollback.
func ExamplePerCall() {
	tx := enoki.NewPerCall(
		func(context.Context) (*transaction, error) { return &transaction{}, nil },
		func(_ context.Context, tx *transaction, outcome error) error {
			if outcome != nil {
				fmt.Println("rolled back", tx.rows)
				return nil
			}
			fmt.Println("committed", tx.rows)
			return nil
		})
	order := func(ctx context.Context, item string) error {
		t, err := tx.Get(ctx)
		if err != nil {
			return err
		}
		t.rows = append(t.rows, item)
		if item == "unicorn" {
			return errors.New("sold out")
		}
		return nil
	}
	c, stop := serve(enoki.NewService("orders", tx, enoki.Method("order", order, "item")))
	defer stop()

	for _, item := range []string{"tea", "unicorn"} {
		_, err := c.Call(context.Background(), "orders", "order", []any{item}, nil)
		fmt.Println(err)
	}
	// Output:
	// committed [tea]
	// <nil>
	// rolled back [unicorn]
	// Error: sold out
}

// What a service opens at start is closed when its work has ended.
func ExampleResource() {
	open := func(context.Context) error { fmt.Println("pool opened"); return nil }
	closePool := func(context.Context) error { fmt.Println("pool closed"); return nil }
	ping := func(context.Context) (string, error) { return "pong", nil }

	c, stop := serve(enoki.NewService("till", enoki.Resource(open, closePool), enoki.Method("ping", ping)))
	answer, err := c.Call(context.Background(), "till", "ping", nil, nil)
	fmt.Println(string(answer), err)
	stop()
	// Output:
	// pool opened
	// "pong" <nil>
	// pool closed
}
