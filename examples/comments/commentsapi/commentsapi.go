// Package commentsapi is what others may know of comments: who tells of them
// and who is told both import it.
package commentsapi

import (
	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/examples/comments/registerapi"
)

// Name is the name of the service that people comment by.
const Name = "api"

// Comment is a comment that was stored.
type Comment struct {
	ID        int64              `json:"comment_id"`
	ArticleID int64              `json:"article_id"`
	Author    registerapi.UserID `json:"article_u_id"` // of the article
	UserID    registerapi.UserID `json:"u_id"`         // who commented
	Content   string             `json:"content"`
}

// Posted is emitted for each comment, and stored together with it.
var Posted = enoki.NewEvent[Comment](Name, "comment_posted")
