package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/enoki-go/enoki/examples/comments/store"
)

// outline writes a thread as ids with their replies in brackets.
func outline(replies []*reply) string {
	var parts []string
	for _, r := range replies {
		part := fmt.Sprint(r.CommentID)
		if len(r.Replies) > 0 {
			part += "(" + outline(r.Replies) + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}

func TestThreaded(t *testing.T) {
	for _, c := range []struct {
		parents []int64 // of the comments 1, 2, 3, …
		want    string
	}{
		{nil, ""},
		{[]int64{0, 0, 0}, "1 2 3"},
		{[]int64{0, 1, 1, 2, 0, 5}, "1(2(4) 3) 5(6)"},
		{[]int64{0, 99, 2}, "1 2(3)"},      // 99 is not there
		{[]int64{2, 1, 3, -1}, "1(2) 3 4"}, // 2 comes later, 3 is itself
	} {
		var comments []store.Comment
		for i, parent := range c.parents {
			comments = append(comments, store.Comment{ID: int64(i + 1), ParentID: parent})
		}
		if got := outline(threaded(comments)); got != c.want {
			t.Errorf("parents %v: %s, want %s", c.parents, got, c.want)
		}
	}
}

func TestThreadedIsNotTooDeep(t *testing.T) {
	const count = 20_000
	var comments []store.Comment
	for id := range int64(count) {
		comments = append(comments, store.Comment{ID: id + 1, ParentID: id})
	}
	text, err := json.Marshal(threaded(comments))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(text), `"comment_id"`); got != count {
		t.Errorf("%d of %d comments", got, count)
	}
	if err := json.Unmarshal(text, new(any)); err != nil {
		t.Error(err)
	}
}
