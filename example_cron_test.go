package enoki_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/memory"
)

type bookkeeping struct{}

func (bookkeeping) close(context.Context) error {
	fmt.Println("closed the day at", time.Now().UTC().Format(time.DateTime))
	return nil
}

// A cron runs once for all instances of a service: here are two of them. In a
// bubble of testing/synctest, two days pass at once.
func ExampleCron() {
	synctest.Test(new(testing.T), func(*testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 48*time.Hour)
		defer cancel()
		b, ended := memory.New(), make(chan error)
		for range 2 {
			books := enoki.NewService("books", enoki.Cron("30 23 * * *", bookkeeping{}.close, enoki.TimeZone("Europe/Berlin")))
			go func() { ended <- enoki.Run(ctx, b.Link(), nil, books) }()
		}
		fmt.Println(<-ended, <-ended)
	})
	// Output:
	// closed the day at 2000-01-01 22:30:00
	// closed the day at 2000-01-02 22:30:00
	// <nil> <nil>
}
