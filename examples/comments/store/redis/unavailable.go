package redis

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/enoki-go/enoki"
)

// unavailable is a hook that tells callers when Redis can't do now what it may
// do later: it is away, loads, has no memory left, or is a replica. The API
// answers 503 then, and not 500.
type unavailable struct{}

func (unavailable) DialHook(next redis.DialHook) redis.DialHook { return next }

func (unavailable) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := coded(next(ctx, cmd))
		if cmd.Err() != nil {
			cmd.SetErr(err)
		}
		return err
	}
}

func (unavailable) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return coded(next(ctx, cmds)) }
}

func coded(err error) error {
	if err == nil || !isDown(err) {
		return err
	}
	return enoki.Errorf(enoki.Unavailable, "redis: %w", err)
}

// isDown tells what is no answer to the command, and the answers that another
// try may not get.
func isDown(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false // the caller's own end
	}
	var answer redis.Error
	if !errors.As(err, &answer) {
		return true // the link
	}
	return redis.IsLoadingError(err) || redis.IsReadOnlyError(err) || redis.IsOOMError(err) ||
		redis.IsMaxClientsError(err) || redis.IsMasterDownError(err) || redis.IsClusterDownError(err)
}
