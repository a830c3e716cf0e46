package rpc

import "errors"

// errGoMicro is why go-micro is listed and not measured.
var errGoMicro = errors.New("the Go module proxy has no go-micro.dev of versions 4, 5 and 6 (asked on 2026-11-25)")

func noGoMicro() error { return errGoMicro }
