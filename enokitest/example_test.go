package enokitest_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/enokitest"
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
