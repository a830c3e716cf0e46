package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/enoki-go/enoki/internal/testserver"
)

// TestKilledProcess kills each process of the site in turn, while people use
// it, and starts it again.
func TestKilledProcess(t *testing.T) {
	t.Run("rabbitmq and redis", func(t *testing.T) {
		killEach(t, startThree(t, testserver.RabbitMQ(t).URL(), testserver.Redis(t).URL()), services)
	})
	t.Run("nats and files", func(t *testing.T) {
		killEach(t, startThree(t, testserver.NATS(t).URL(), ""), services)
	})
	t.Run("one process", func(t *testing.T) {
		killEach(t, startOne(t), []string{"comments"})
	})
}

func killEach(t *testing.T, s *site, victims []string) {
	for i, victim := range victims {
		t.Run(victim, func(t *testing.T) { kill(t, s, victim, i+1) })
	}
	tellStory(t, s)
}

// kill kills a process of the site while people comment on an article.
func kill(t *testing.T, s *site, victim string, article int) {
	people := newCrowd(t, s, article)
	people.await(t, func(c counts) bool { return c.comments >= 20 })

	s.parts[victim].kill()
	down := people.counts()
	people.await(t, func(c counts) bool { return c.begun > down.begun })
	if victim == "push" { // authors are told later, and nothing else is different
		people.await(t, func(c counts) bool { return c.comments >= down.comments+people.size })
		if c := people.counts(); c.failed > 0 {
			t.Errorf("without push %d requests failed: %v", c.failed, people.lastFailure())
		}
	}

	s.parts[victim].start(t)
	up := people.counts()
	people.await(t, func(c counts) bool { return c.comments >= up.comments+20 })
	people.leave()
	people.check(t)
}

// crowd is people who register and comment, one after the other and several
// at once, and who remember what they were answered.
type crowd struct {
	site    *site
	article int
	size    int
	leave   func() // returns when all have their last answer

	mu       sync.Mutex // guards the fields below
	changed  *sync.Cond
	count    counts
	failure  error
	ids      map[string]string // by email
	contents map[int64]string  // by comment id
}

// counts are of requests.
type counts struct {
	begun, failed, comments int
}

// crowdPace is the time between two requests of one person, so that people
// whose requests fail at once leave the machine some time for others.
const crowdPace = 10 * time.Millisecond

func newCrowd(t *testing.T, s *site, article int) *crowd {
	t.Helper()
	c := &crowd{site: s, article: article, size: 4, ids: map[string]string{}, contents: map[int64]string{}}
	c.changed = sync.NewCond(&c.mu)
	home := make(chan struct{})
	var people sync.WaitGroup
	for person := range c.size {
		people.Go(func() {
			pace := time.NewTicker(crowdPace)
			defer pace.Stop()
			for i := 0; ; i++ {
				select {
				case <-home:
					return
				case <-pace.C:
					c.visit(fmt.Sprintf("%d-%d-%d@example.com", article, person, i))
				}
			}
		})
	}
	c.leave = sync.OnceFunc(func() {
		close(home)
		people.Wait()
	})
	t.Cleanup(c.leave)
	return c
}

// visit registers somebody, who then comments on an article of their own.
// Requests do not end with the test: their answers count.
func (c *crowd) visit(email string) {
	ctx := context.Background()
	c.note(func() { c.count.begun++ })
	id, a, err := c.site.register(ctx, object{"email": email, "language": "ja"})
	if err == nil && a.Code != 0 && a.Message != "already registered." {
		err = fmt.Errorf("register: %+v", a)
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.note(func() { c.ids[email] = id })
	comment, a, err := c.site.comment(ctx, object{"u_id": id, "content": email, "article_id": c.article, "article_u_id": id})
	if err == nil && a.Code != 0 {
		err = fmt.Errorf("comment: %+v", a)
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.note(func() {
		c.contents[comment] = email
		c.count.comments++
	})
}

func (c *crowd) note(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	c.changed.Broadcast()
}

func (c *crowd) fail(err error) {
	c.note(func() {
		c.count.failed++
		c.failure = err
	})
}

func (c *crowd) counts() counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

func (c *crowd) lastFailure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// await returns when the counts are as wanted, after a minute at the latest.
func (c *crowd) await(t *testing.T, wanted func(counts) bool) {
	t.Helper()
	late := false
	timer := time.AfterFunc(time.Minute, func() { c.note(func() { late = true }) })
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !wanted(c.count) {
		if late {
			t.Fatalf("nothing goes on: %+v; the last failure: %v", c.count, c.failure)
		}
		c.changed.Wait()
	}
}

// check finds everything that people were told is there, and no id twice.
func (c *crowd) check(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	t.Logf("%+v; the last failure: %v", c.count, c.failure)
	owner := map[string]string{}
	for email, want := range c.ids {
		id, a, err := c.site.register(t.Context(), object{"email": email})
		if err != nil || a.Code != 10001 || id != want {
			t.Errorf("%s was registered as %s, and now: %q, %+v, %v", email, want, id, a, err)
		}
		if other, taken := owner[want]; taken {
			t.Errorf("%s and %s both have the id %s", other, email, want)
		}
		owner[want] = email
	}
	thread, err := c.site.thread(t.Context(), c.article)
	if err != nil {
		t.Fatal(err)
	}
	found := map[int64]string{}
	for _, comment := range thread {
		if _, twice := found[comment.CommentID]; twice {
			t.Errorf("comment %d is there twice", comment.CommentID)
		}
		found[comment.CommentID] = comment.Content
	}
	for id, content := range c.contents {
		if found[id] != content {
			t.Errorf("comment %d said %q and now says %q", id, content, found[id])
		}
	}
	c.checkTold(t, found)
}

// checkTold finds every author told of every comment, once each. A comment
// whose answer got lost counts as well: it is stored with its event.
func (c *crowd) checkTold(t *testing.T, comments map[int64]string) {
	t.Helper()
	written := map[string]int{}
	for _, content := range comments {
		written[content]++
	}
	for email, id := range c.ids {
		var want []string
		for range written[email] {
			want = append(want, "あなたの記事に新しいコメントがあります：「"+email+"」")
		}
		awaitTexts(t, c.site, id, want...)
	}
}
