package enoki_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/inbox"
)

// An event can be due later: the broker keeps it until then, and after that
// for as long as nobody is there to handle it.
func ExampleAfter() {
	const wait = 200 * time.Millisecond
	var emit enoki.Emit[Comment]
	handled := make(chan string)
	_, stop := serve(
		enoki.NewService("comments", enoki.Emits(Posted, &emit)),
		enoki.NewService("push", enoki.On(Posted, func(_ context.Context, c Comment) error {
			handled <- c.Text
			return nil
		})),
	)
	defer stop()

	ctx, begun := context.Background(), time.Now()
	fmt.Println(emit(ctx, Comment{Text: "later"}, enoki.After(wait)))
	fmt.Println(<-handled, time.Since(begun) >= wait)
	fmt.Println(emit(ctx, Comment{Text: "too late"}, enoki.After(500*24*time.Hour)))
	// Output:
	// <nil>
	// later true
	// event comments.posted: it is due in 500 days; give at most 366
}

// A subscription says which instances get an event, and what becomes of one
// whose handler fails. Here every instance gets it, and it is tried twice.
func ExampleSubscription() {
	var emit enoki.Emit[Comment]
	attempts := make(chan int, 2)
	_, stop := serve(
		enoki.NewService("comments", enoki.Emits(Posted, &emit)),
		enoki.NewService("index", enoki.Subscription[Comment]{
			Event: Posted,
			Handle: func(ctx context.Context, c Comment) error {
				attempts <- enoki.Attempt(ctx)
				return errors.New("the index is read-only")
			},
			Name:     "add_to_index",
			Delivery: enoki.Broadcast{ID: "host-1"},
			OnError:  enoki.Retry{Attempts: 2, First: 10 * time.Millisecond},
		}),
	)
	defer stop()

	fmt.Println(emit(context.Background(), Comment{Text: "well said"}))
	fmt.Println("attempts", <-attempts, <-attempts)
	// Output:
	// <nil>
	// attempts 1 2
}

// With an inbox, an event that comes again is not handled again. Here it was
// emitted twice, under an id of its own, as by a client that was not sure.
func ExampleSubscription_once() {
	var emit enoki.Emit[Comment]
	handled := make(chan string, 2)
	_, stop := serve(
		enoki.NewService("comments", enoki.Emits(Posted, &emit)),
		enoki.NewService("push", enoki.Subscription[Comment]{
			Event: Posted,
			Handle: func(ctx context.Context, c Comment) error {
				handled <- enoki.MessageID(ctx) + ": " + c.Text
				return nil
			},
			Once: inbox.NewMemory(0),
		}),
	)
	ctx := context.Background()
	for _, id := range []string{"comment-7", "comment-7", "comment-8"} {
		if err := emit(ctx, Comment{Text: "well said"}, enoki.WithMessageID(id)); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(<-handled)
	fmt.Println(<-handled)
	stop()
	fmt.Println("and", len(handled), "more")
	// Unordered output:
	// comment-7: well said
	// comment-8: well said
	// and 0 more
}

// A handler knows which attempt it is at.
func ExampleRetry() {
	var emit enoki.Emit[Comment]
	handled := make(chan int)
	_, stop := serve(
		enoki.NewService("comments", enoki.Emits(Posted, &emit)),
		enoki.NewService("push", enoki.Subscription[Comment]{
			Event: Posted,
			Handle: func(ctx context.Context, c Comment) error {
				if enoki.Attempt(ctx) < 3 {
					return errors.New("the telephone is off the hook")
				}
				handled <- enoki.Attempt(ctx)
				return nil
			},
			OnError: enoki.Retry{First: 10 * time.Millisecond},
		}),
	)
	defer stop()

	fmt.Println(emit(context.Background(), Comment{Text: "well said"}))
	fmt.Println("attempt", <-handled)
	// Output:
	// <nil>
	// attempt 3
}

// Events of one article are handled in order, also when one of them has to be
// tried again; those of other articles don't wait for it.
func ExampleSubscription_orderBy() {
	var emit enoki.Emit[Comment]
	handled := make(chan Comment, 10)
	byArticle := func(c Comment) string { return fmt.Sprint(c.Article) }
	_, stop := serve(
		enoki.NewService("comments", enoki.Emits(Posted, &emit)),
		enoki.NewService("push", enoki.Subscription[Comment]{
			Event: Posted,
			Handle: func(ctx context.Context, c Comment) error {
				if c.Text == "first" && enoki.Attempt(ctx) == 1 {
					return errors.New("not yet")
				}
				handled <- c
				return nil
			},
			OrderBy: byArticle,
			OnError: enoki.Retry{First: 100 * time.Millisecond},
		}),
	)
	defer stop()

	for _, text := range []string{"first", "second", "third"} {
		if err := emit(context.Background(), Comment{Article: 7, Text: text}); err != nil {
			fmt.Println(err)
		}
	}
	for range 3 {
		fmt.Println((<-handled).Text)
	}
	// Output:
	// first
	// second
	// third
}

// Events can travel in the envelope of CloudEvents. A handler gets its payload
// all the same.
func ExampleAsCloudEvent() {
	var emit enoki.Emit[Comment]
	handled := make(chan string)
	_, stop := serve(
		enoki.NewService("comments", enoki.Emits(Posted, &emit)),
		enoki.NewService("push", enoki.On(Posted, func(_ context.Context, c Comment) error {
			handled <- c.Text
			return nil
		})),
	)
	defer stop()

	fmt.Println(emit(context.Background(), Comment{Article: 7, Text: "well said"}, enoki.AsCloudEvent("articles/7")))
	fmt.Println(<-handled)
	// Output:
	// <nil>
	// well said
}

// An error that another attempt would end with, too, is marked as permanent;
// its text and what errors.Is finds in it stay.
func ExamplePermanent() {
	errNoStock := errors.New("out of stock")
	err := enoki.Permanent(fmt.Errorf("order 12: %w", errNoStock))
	fmt.Println(err, errors.Is(err, errNoStock))
	// Output: order 12: out of stock true
}
