package enoki_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
)

// The kind of a dead letter and the number of attempts, by what a handler
// returned.
func TestWhatBecomesOfAFailedEvent(t *testing.T) {
	_, notThere := fs.Stat(noFiles{}, "x")
	for _, test := range []struct {
		err     error
		onError enoki.ErrorPolicy
		want    string // kind and attempts; empty when it is no dead letter
	}{
		{errors.New("down"), nil, "unknown 5"},
		{fmt.Errorf("read: %w", notThere), nil, "*fs.PathError 5"},
		{enoki.Errorf(enoki.NotFound, "no user"), nil, "not_found 5"},
		{enoki.Errorf(enoki.InvalidArgument, "bad"), nil, "invalid_argument 1"},
		{fmt.Errorf("deep: %w", enoki.Errorf(enoki.InvalidArgument, "bad")), nil, "invalid_argument 1"},
		{enoki.Permanent(errors.New("never")), nil, "unknown 1"},
		{fmt.Errorf("deep: %w", enoki.Permanent(enoki.Errorf(enoki.NotFound, "no user"))), nil, "not_found 1"},
		{enoki.Permanent(errors.New("never")), enoki.Requeue{}, "unknown 1"},
		{enoki.Permanent(errors.New("never")), enoki.Drop{}, ""},
		{enoki.Permanent(nil), nil, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := memory.New()
			defer b.Close()
			var told []string
			options := &enoki.Options{OnDeadLetter: func(l broker.DeadLetter) { told = append(told, l.ID) }}
			stop := running(t, b, options, enoki.NewService("push", enoki.Subscription[string]{Event: posted, Handle: func(context.Context, string) error { return test.err }, OnError: test.onError}))
			if err := enoki.NewClient(b, nil).Emit(t.Context(), "comments", "posted", "hi"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour) // of the bubble
			synctest.Wait()
			dead, err := deadLetters(t, b)
			got := ""
			if len(dead) > 0 {
				got = fmt.Sprint(dead[0].Kind, " ", dead[0].Attempts)
			}
			if err != nil || len(dead) > 1 || got != test.want || len(told) != len(dead) {
				t.Errorf("%v: got %d letters (%v), the first %q, told of %d, want %q", test.err, len(dead), err, got, len(told), test.want)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// noFiles is an empty file system.
type noFiles struct{}

func (noFiles) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
