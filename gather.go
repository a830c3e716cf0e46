package enoki

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/enoki-go/enoki/internal/contract"
	"github.com/enoki-go/enoki/internal/trail"
)

// Reply is the reply of one instance of a service. A contract function that
// returns []Reply[T] and an error calls every running instance at once. It
// waits for all replies until its deadline. It stands beside the function that
// serves the method, which returns a T or nothing:
//
//	type Cache struct {
//		Clear    func(ctx context.Context, prefix string) (int, error)                 `rpc:"clear" args:"prefix"`
//		ClearAll func(ctx context.Context, prefix string) ([]enoki.Reply[int], error) `rpc:"clear" args:"prefix"`
//	}
//
// The replies are sorted by the instances' ids. The error of one instance is in
// its reply. The error of the function says that no instance was found, or that
// the instances could not be called. T is struct{} for a method without a
// result.
type Reply[T any] struct { // internal/contract relies on the order of these fields
	Instance string // the id of the instance
	Value    T      // zero when Err is set
	Err      error  // of type *Error
}

// gather calls every instance of the service.
func (b *binding) gather(ctx context.Context, c *Call) error {
	ctx, limit := withTimeout(ctx, b.method.Timeout, b.client.options.Timeout)
	defer limit.End()
	body, err := b.method.Request(c.in)
	if err != nil {
		return err
	}
	instances, err := b.client.instances(ctx, b.service)
	if err != nil {
		return fmt.Errorf("call %s.%s: %w", b.service, b.method.Name, err)
	}
	replies := reflect.MakeSlice(reflect.SliceOf(b.method.Reply), len(instances), len(instances))
	there := make([]bool, len(instances))
	var asked sync.WaitGroup
	for i, id := range instances {
		asked.Go(func() { there[i] = b.ask(ctx, id, body, replies.Index(i)) })
	}
	asked.Wait()
	list := reflect.MakeSlice(replies.Type(), 0, len(instances))
	for i := range there {
		if there[i] {
			list = reflect.Append(list, replies.Index(i))
		}
	}
	c.out = []reflect.Value{list}
	return nil
}

// instances returns the ids of the running instances of a service.
func (c *Client) instances(ctx context.Context, service string) ([]string, error) {
	all, err := c.broker.Services(ctx)
	if err != nil {
		return nil, coded(err, "find the instances of %s", service)
	}
	var ids []string
	for _, one := range all {
		if one.Name == service {
			ids = append(ids, one.ID)
		}
	}
	if len(ids) == 0 {
		return nil, Errorf(UnknownService, "no instance of service %q is there; start it, or check the name", service)
	}
	return ids, nil
}

// ask calls one instance and fills its reply. It returns false if the instance
// has stopped in the meantime, which is no error.
func (b *binding) ask(ctx context.Context, id string, body []byte, to reflect.Value) bool {
	value, err := b.askOne(ctx, id, body)
	if errors.Is(err, UnknownService) {
		return false
	}
	to.Field(contract.ReplyInstance).SetString(id)
	to.Field(contract.ReplyErr).Set(errorValue(err))
	if err == nil {
		to.Field(contract.ReplyValue).Set(value)
	}
	return true
}

func (b *binding) askOne(ctx context.Context, id string, body []byte) (value reflect.Value, err error) {
	body, form, err := b.client.requestTo(ctx, b.service, id, b.method.Name, body)
	if err != nil {
		return value, err
	}
	values, err := b.method.Answer(body, form == nil)
	if err != nil {
		return value, b.client.errors.Restore(err)
	}
	return values[0], nil
}

// requestTo sends an encoded request to one instance and returns the body of
// its reply.
func (c *Client) requestTo(ctx context.Context, service, instance, method string, body []byte) ([]byte, *Serializer, error) {
	m, err := c.message(body, trail.Of(ctx).Send(ctx, c.name))
	if err != nil {
		return nil, nil, Errorf(InvalidArgument, "call %s.%s: %w", service, method, err)
	}
	m.Instance = instance
	return c.exchange(ctx, service, method, m)
}
