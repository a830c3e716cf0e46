package enoki_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/enoki-go/enoki"
)

// A dead letter goes back to its handler once what was wrong is mended.
func ExampleClient_DeadLetters() {
	mended := false
	handled := make(chan string, 10)
	deliver := func(_ context.Context, text string) error {
		if !mended {
			return enoki.Permanent(fmt.Errorf("no printer for %q", text))
		}
		handled <- text
		return nil
	}
	ctx := context.Background()
	c, stop := serve(enoki.NewService("post", enoki.On(posted, deliver)))
	defer stop()
	for _, text := range []string{"one", "two"} {
		if err := c.Emit(ctx, "comments", "posted", text); err != nil {
			log.Fatal(err)
		}
	}
	groups := awaitGroup(c, 2)
	fmt.Println(groups[0].Service, groups[0].Handler, groups[0].Count, groups[0].Reason)

	mended = true
	for letter, err := range c.DeadLetters(ctx, enoki.DeadLetterFilter{Groups: []string{groups[0].ID}}) {
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
func awaitGroup(c *enoki.Client, letters int) []enoki.DeadLetterGroup {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		groups, err := c.DeadLetterGroups(context.Background(), enoki.DeadLetterFilter{})
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

// An error that another attempt would end with, too, is marked as permanent;
// its text and what errors.Is finds in it stay.
func ExamplePermanent() {
	errNoStock := errors.New("out of stock")
	err := enoki.Permanent(fmt.Errorf("order 12: %w", errNoStock))
	fmt.Println(err, errors.Is(err, errNoStock))
	// Output: order 12: out of stock true
}
