package resilience

import "sync"

// Budget bounds retries to a share of the calls: each call pays in ratio, each
// retry takes one out, so that a service that fails does not get a multiple of
// its usual load. It may be used concurrently.
type Budget struct {
	ratio, most float64

	mu   sync.Mutex // guards left
	left float64
}

// NewBudget returns a budget of ratio retries for each call, such as 0.2, that
// begins with most retries and never saves more than that.
func NewBudget(ratio, most float64) *Budget { return &Budget{ratio: ratio, most: most, left: most} }

// Call counts a call that is no retry.
func (b *Budget) Call() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(b.most, b.left+b.ratio)
}

// Retry takes one retry out and returns false when there is none.
func (b *Budget) Retry() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
