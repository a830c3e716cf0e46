package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// The two processes of a case are this program again, with a role as their
// first argument and the Work as their second. They talk in lines of JSON over
// their standard input and output, and end with their input:
//
//	the service says  {"address":"…"}  when it serves, with the ids of processes beside it,
//	and to each line  {}               answers with a count;
//	the client says   {}               when its first operation has succeeded,
//	and to each order                  answers with a report.
const (
	serviceRole = "service"
	clientRole  = "client"
)

// ready is the first line of both.
type ready struct {
	Address string `json:"address"`
	Beside  []int  `json:"beside,omitempty"` // ids of further processes of the service
}

// count is what the service has done so far.
type count struct {
	Done    int64  `json:"done"`
	Last    int64  `json:"last"` // Unix time of the last one in nanoseconds
	Mallocs uint64 `json:"mallocs"`
}

// ask is a line to the service.
type ask struct {
	Profile string `json:"profile,omitempty"` // begins a CPU profile, or ends the one that runs
}

// firstTimeout is how long the client tries until the first operation
// succeeds; a service in Python takes seconds to start.
const firstTimeout = 60 * time.Second

func runService(ctx context.Context, c *Case, w *Work) error {
	address, err := c.Serve(ctx, w)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(ready{Address: address, Beside: w.pidsBeside()}); err != nil {
		return err
	}
	var p profile
	return eachLine(os.Stdin, func(a ask) error {
		if err := p.toggle(a.Profile); err != nil {
			return err
		}
		return out.Encode(count{Done: w.counter.count.Load(), Last: w.counter.last.Load(), Mallocs: mallocs()})
	})
}

func runClient(ctx context.Context, c *Case, w *Work) error {
	op, err := c.Dial(ctx, w)
	if err != nil {
		return err
	}
	if err := first(ctx, op); err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(ready{}); err != nil {
		return err
	}
	return eachLine(os.Stdin, func(o order) error {
		var p profile
		if err := p.toggle(o.Profile); err != nil {
			return err
		}
		r := load(ctx, o, op)
		return errors.Join(p.toggle(o.Profile), out.Encode(r))
	})
}

// first tries the operation until it succeeds.
func first(ctx context.Context, op Operation) error {
	ctx, cancel := context.WithTimeout(ctx, firstTimeout)
	defer cancel()
	for {
		err := op(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no operation succeeded within %v: %w", firstTimeout, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// eachLine runs do for each line of r, decoded, until r ends.
func eachLine[T any](r io.Reader, do func(T) error) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var v T
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			return err
		}
		if err := do(v); err != nil {
			return err
		}
	}
	return lines.Err()
}
