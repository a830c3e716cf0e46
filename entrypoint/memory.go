package entrypoint

import "github.com/enoki-go/enoki/internal/budget"

// Memory bounds what a process spends on data that has arrived and is not done:
// bodies of HTTP requests, frames and events of WebSockets, compressed
// messages. It does not bound the whole process, because handlers may keep what
// they like. It only estimates the cost of decoding, so leave the process twice
// as much. It may be used concurrently.
//
// One half is for waiting data, the other half for data that is being handled.
// A JSON body counts 16 times while it is handled. A body that needs more than
// the half is handled alone.
type Memory = budget.Budget

// DefaultMemory is 256 MiB, in bytes. It is enough to handle 8 MiB of JSON at
// once.
const DefaultMemory = 256 << 20

// NewMemory returns a bound of that many bytes. Everything that gets it shares
// it.
func NewMemory(bytes int64) *Memory { return budget.New(bytes) }
