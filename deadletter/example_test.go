package deadletter_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/deadletter"
)

// A dead letter goes back to its handler once what was wrong is mended.
func ExampleAll() {
	mended := false
	handled := make(chan string, 10)
	deliver := func(_ context.Context, text string) error {
		if !mended {
			return enoki.Permanent(fmt.Errorf("no printer for %q", text))
		}
		handled <- text
		return nil
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	b, ready := memory.New(), make(chan struct{})
	options := &enoki.Options{Logger: slog.New(slog.DiscardHandler), OnReady: func() { close(ready) }}
	go enoki.Run(ctx, b, options, enoki.NewService("post", enoki.On(posted, deliver)))
	<-ready
	c := enoki.NewClient(b, nil)
	for _, text := range []string{"one", "two"} {
		if err := c.Emit(ctx, "comments", "posted", text); err != nil {
			log.Fatal(err)
		}
	}
	groups := awaitGroup(c, 2)
	fmt.Println(groups[0].Service, groups[0].Handler, groups[0].Count, groups[0].Reason)

	mended = true
	for letter, err := range deadletter.All(ctx, c, deadletter.Filter{Groups: []string{groups[0].ID}}) {
		if err == nil {
			err = letter.Retry(ctx)
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("handled:", <-handled)
	}
	// Unordered output:
	// post on_posted 2 no printer for "…"
	// handled: one
	// handled: two
}

// awaitGroup waits until letters are there: a handler returns before its event
// is stored as one.
func awaitGroup(c *enoki.Client, letters int) []deadletter.Group {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		groups, err := deadletter.Groups(context.Background(), c, deadletter.Filter{})
		if err != nil {
			log.Fatal(err)
		}
		if len(groups) > 0 && groups[0].Count == letters {
			return groups
		}
	}
	log.Fatal("no dead letters came")
	return nil
}
