package entrypoint

import "github.com/enoki-go/enoki/internal/budget"

// Memory bounds what a process spends on what arrives and is not done yet:
// bodies of HTTP requests, frames and events of WebSockets, compressed messages. It is no
// limit of the whole process, whose handlers may keep what they like, and
// counts what decoding costs only about: leave twice as much to the process.
//
// Half of it is for what waits, half for what is handled. A body of JSON counts
// 16 times while it is handled, and one that needs more than the half is
// handled alone.
type Memory = budget.Budget

// DefaultMemory is 256 MiB, in bytes: 8 MiB of JSON that are handled at once.
const DefaultMemory = 256 << 20

// NewMemory returns a bound of so many bytes, which all that is given it share.
func NewMemory(bytes int64) *Memory { return budget.New(bytes) }
