package resilience

import "sync"

// Budget bounds retries to a share of the calls, so that a failing service does
// not get a multiple of its usual load. Each call adds a fraction of a retry to
// the budget, and each retry takes one out. A Budget may be used concurrently.
type Budget struct {
	ratio, most float64

	mu   sync.Mutex // guards left
	left float64
}

// NewBudget returns a budget that allows ratio retries for each call, such as
// 0.2. It begins with most retries and never holds more than that.
func NewBudget(ratio, most float64) *Budget { return &Budget{ratio: ratio, most: most, left: most} }

// Call counts a call. Retries are not counted here.
func (b *Budget) Call() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(b.most, b.left+b.ratio)
}

// Retry takes one retry out. It returns false if there is none.
func (b *Budget) Retry() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
