package harness

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets that are 3 % wide, so that counting
// costs the client a few nanoseconds and no allocation.
type histogram [64 << histogramBits]uint32

const histogramBits = 5

func (h *histogram) add(d time.Duration) { h[bucket(uint64(max(d, 0)))]++ }

func bucket(n uint64) int {
	shift := max(bits.Len64(n)-histogramBits-1, 0)
	return shift<<histogramBits + int(n>>shift)
}

// floor returns the smallest number in a bucket.
func floor(bucket int) uint64 {
	if bucket < 2<<histogramBits {
		return uint64(bucket)
	}
	shift := bucket>>histogramBits - 1
	return uint64(bucket-shift<<histogramBits) << shift
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other {
		h[i] += n
	}
}

// quantile returns the duration that a share q of all did not exceed, to 3 %.
func (h *histogram) quantile(q float64) time.Duration {
	var total uint64
	for _, n := range h {
		total += uint64(n)
	}
	rank := uint64(q * float64(total))
	var seen uint64
	for i, n := range h {
		if seen += uint64(n); n > 0 && seen > rank {
			return time.Duration((floor(i) + floor(i+1)) / 2)
		}
	}
	return 0
}
