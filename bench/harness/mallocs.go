package harness

import "runtime/metrics"

// mallocs returns how many objects this process has allocated on the heap.
func mallocs() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/tiny/allocs:objects"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() + samples[1].Value.Uint64()
}

func mallocsSince(before uint64) uint64 { return mallocs() - before }
