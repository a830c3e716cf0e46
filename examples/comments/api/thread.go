package api

import "github.com/enoki-go/enoki/examples/comments/store"

// maxDepth is how deep replies are nested. What answers a reply that lies as
// deep stands beside it instead of below it, so that no thread gets too deep
// for those who read JSON.
const maxDepth = 50

// reply is a comment with those that answer it.
type reply struct {
	CommentID int64    `json:"comment_id"`
	ParentID  int64    `json:"parent_comment_id" doc:"The comment that this one answers; 0 when it answers the article."`
	UserID    string   `json:"u_id" doc:"Who wrote it."`
	Content   string   `json:"content"`
	Timestamp int64    `json:"timestamp" doc:"When, as the writer's program sent it."`
	Replies   []*reply `json:"replies" doc:"Those that answer it, oldest first."`

	above *reply // nil when it answers the article
	depth int
}

// threaded puts comments, which come in the order of their ids, below those
// that they answer. One that answers a comment that is not there, or that came
// later, answers the article.
func threaded(comments []store.Comment) []*reply {
	top := []*reply{}
	known := make(map[int64]*reply, len(comments))
	for _, c := range comments {
		r := &reply{
			CommentID: c.ID, ParentID: c.ParentID, UserID: c.UserID,
			Content: c.Content, Timestamp: c.Timestamp, Replies: []*reply{},
		}
		parent := known[c.ParentID]
		known[c.ID] = r
		if parent == nil {
			top = append(top, r)
			continue
		}
		if parent.depth == maxDepth {
			parent = parent.above
		}
		r.above, r.depth = parent, parent.depth+1
		parent.Replies = append(parent.Replies, r)
	}
	return top
}
