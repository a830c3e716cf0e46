package enokitest_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/enokitest"
	"github.com/enoki-go/enoki/inbox"
)

// In a test, t is that of the test and synctest is needed for virtual time
// only.
func ExampleRun() {
	synctest.Test(new(testing.T), func(t *testing.T) {
		p := &push{}
		service := enoki.NewService("push",
			enoki.Needs("register", &p.register),
			enoki.Emits(pushed, &p.tell),
			enoki.On(posted, p.onPosted))
		mock := enokitest.NewMock("register", register{
			Email: func(context.Context, string) (string, error) { return "ada@example.org", nil },
		})
		kit := enokitest.Run(t, mock.Service(), service)
		sent := enokitest.Capture(t, kit, pushed)

		enokitest.Emit(t, kit, posted, comment{User: "ada", Text: "Hello"})
		fmt.Println("handled, error:", kit.WaitFor(t, "push", "on_posted").Err)
		fmt.Println("emitted:", sent.Next(t))
		fmt.Println("called:", mock.Calls()[0].Method, mock.Calls()[0].Args)
	})
	// Output:
	// handled, error: <nil>
	// emitted: ada@example.org
	// called: email [ada]
}

// Three instances bill orders, over lost messages, duplicates and crashes. The
// seed makes the same history each time; without one, it is another each time.
func ExampleSimulate() {
	enokitest.Simulate(new(testing.T), &enokitest.SimOptions{Seed: 8, Crashes: 0.2}, func(t *testing.T, s *enokitest.Sim) {
		billed := inbox.NewMemory(0) // outlives a crash, as a database would
		s.Run(3, func() *enoki.Service {
			return enoki.NewService("billing", enoki.Subscription[comment]{
				Event: posted,
				Handle: func(_ context.Context, c comment) error {
					s.Effect("bill " + c.User) // the test fails if that is done twice
					return nil
				},
				Once: billed,
			})
		})
		for _, user := range []string{"ada", "bob"} {
			for enoki.Emitter(s.Client, posted)(t.Context(), comment{User: user}, enoki.WithMessageID(user)) != nil {
				// not confirmed: emit it again with the same id
			}
		}
		time.Sleep(time.Hour)
		for _, line := range s.History() {
			fmt.Println(line)
		}
	})
	// Output:
	// 0s node-1 starts
	// 0s node-2 starts
	// 0s node-3 starts
	// 995.435702ms client emits comments.posted {"user":"ada","text":""}
	// 1.30179164s effect bill ada
	// 1.30179164s node-2: billing.on_posted had comments.posted {"user":"ada","text":""}, attempt 1: done
	// 1.595451957s client emits comments.posted {"user":"bob","text":""}
	// 1.833879171s node-3: billing.on_posted had comments.posted {"user":"ada","text":""}, attempt 1: done
	// 1.925413653s node-1 crashes before billing.on_posted gets comments.posted {"user":"bob","text":""}
	// 2.830220959s effect bill bob
	// 2.830220959s node-3: billing.on_posted had comments.posted {"user":"bob","text":""}, attempt 1: done
	// 4.005624043s node-1 starts
}
