package reminder

import (
	"testing"
	"time"
)

func TestReminder(t *testing.T) {
	var r Reminder
	start := time.Unix(0, 0)
	said := 0
	for at := time.Duration(0); at < time.Hour; at += time.Second {
		if r.Due("refused at port "+start.Add(at).Format("05"), start.Add(at)) {
			said++
		}
	}
	if said != 11 { // after 0, 10, 30, 70, 150, 310, 630, 1230, 1830 s …
		t.Errorf("the same was said %d times in an hour, want 11", said)
	}
	if !r.Due("something else", start.Add(time.Hour)) || r.Due("something else", start.Add(time.Hour+9*time.Second)) {
		t.Error("something new is said at once, and once")
	}
}
