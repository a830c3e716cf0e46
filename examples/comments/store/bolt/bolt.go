// Package bolt keeps what the comment site keeps in one file, with nothing
// to install. Every write is synced to the disk before it is confirmed.
//
// One process at a time can have the file open; services in one process share
// a Store. The buckets of the file:
//
//	users                      email to id
//	users_data                 id to the JSON of the user data; its sequence counts the ids given
//	comments/<article id>      comment id (8 bytes, big endian) to the JSON of the comment; the sequence of comments counts them
//	notifications/<user id>    number (8 bytes, big endian) to the JSON of the notification
//	enoki_outbox               what package outbox/bolt keeps there
package bolt

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/enoki-go/enoki/examples/comments/store"
	"github.com/enoki-go/enoki/outbox"
	outboxbolt "github.com/enoki-go/enoki/outbox/bolt"
)

// lockWait is how long Open waits for a process that still has the file, such
// as the previous run of the same program on its way out.
const lockWait = 2 * time.Second

// The buckets at the top of the file.
var (
	usersBucket         = []byte("users")
	usersDataBucket     = []byte("users_data")
	commentsBucket      = []byte("comments")
	notificationsBucket = []byte("notifications")
)

// Store is an open file.
type Store struct {
	db     *bbolt.DB
	outbox *outboxbolt.Store
}

var _ store.Store = (*Store)(nil)

// Open opens the file at path, and makes it and its directory if they are not
// there. It waits 2 s for another process to close the file.
func Open(path string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the store: %w", err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("the store %s is in use by another process: stop that one, or name another file", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the store %s: %w", path, err)
	}
	// The default of 10 ms is what a lone writer would wait for company.
	db.MaxBatchDelay = time.Millisecond
	s := &Store{db: db, outbox: outboxbolt.New(db)}
	if err := db.Update(makeBuckets); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the store %s: %w", path, err), db.Close())
	}
	return s, nil
}

func makeBuckets(tx *bbolt.Tx) error {
	for _, name := range [][]byte{usersBucket, usersDataBucket, commentsBucket, notificationsBucket} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return nil
}

// Close waits for running reads and writes and closes the file.
func (s *Store) Close() error { return s.db.Close() }

// Register implements store.Users.
func (s *Store) Register(ctx context.Context, email string, data json.RawMessage) (id string, isNew bool, err error) {
	err = s.write(ctx, func(tx *bbolt.Tx) error {
		users := tx.Bucket(usersBucket)
		id, isNew = string(users.Get([]byte(email))), false
		if id != "" {
			return nil
		}
		var err error
		if id, err = newUserID(tx); err != nil {
			return err
		}
		isNew = true
		if err := tx.Bucket(usersDataBucket).Put([]byte(id), data); err != nil {
			return err
		}
		return users.Put([]byte(email), []byte(id))
	})
	if err != nil {
		return "", false, fmt.Errorf("register %q: %w", email, err)
	}
	return id, isNew, nil
}

func newUserID(tx *bbolt.Tx) (string, error) {
	n, err := tx.Bucket(usersDataBucket).NextSequence()
	if err != nil {
		return "", err
	}
	if n > store.LastUserID-store.FirstUserID+1 {
		return "", store.ErrNoIDs
	}
	return strconv.FormatUint(store.FirstUserID-1+n, 10), nil
}

// UserData implements store.Users.
func (s *Store) UserData(ctx context.Context, id string) (json.RawMessage, error) {
	var data json.RawMessage
	err := s.read(ctx, func(tx *bbolt.Tx) error {
		// The bytes belong to the transaction, so they are copied.
		data = append(data, tx.Bucket(usersDataBucket).Get([]byte(id))...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the data of user %q: %w", id, err)
	}
	return data, nil
}

// AddComment implements store.Comments.
func (s *Store) AddComment(ctx context.Context, c store.Comment, announce func(store.Comment, *store.Posting) error) (int64, error) {
	err := s.write(ctx, func(tx *bbolt.Tx) error {
		comments := tx.Bucket(commentsBucket)
		n, err := comments.NextSequence()
		if err != nil {
			return err
		}
		c.ID = int64(n)
		article, err := comments.CreateBucketIfNotExists(articleKey(c.ArticleID))
		if err != nil {
			return err
		}
		if err := putJSON(article, n, c); err != nil {
			return err
		}
		var posting store.Posting
		if err := announce(c, &posting); err != nil {
			return err
		}
		for _, event := range posting.Events {
			if err := s.outbox.Put(ctx, tx, event); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("store a comment on article %d: %w", c.ArticleID, err)
	}
	return c.ID, nil
}

// Put implements outbox.Store.
func (s *Store) Put(_ context.Context, p *store.Posting, r outbox.Record) error { return p.Put(r) }

// Relay implements outbox.Store.
func (s *Store) Relay(ctx context.Context, emit func(ctx context.Context, r outbox.Record) error) error {
	return s.outbox.Relay(ctx, emit)
}

// Count implements outbox.Store.
func (s *Store) Count(ctx context.Context) (outbox.Count, error) { return s.outbox.Count(ctx) }

// Dead implements outbox.Store.
func (s *Store) Dead(ctx context.Context, settle func(outbox.DeadRecord) outbox.Settlement) error {
	return s.outbox.Dead(ctx, settle)
}

// Added implements outbox.Store.
func (s *Store) Added() <-chan struct{} { return s.outbox.Added() }

// CommentsOn implements store.Comments.
func (s *Store) CommentsOn(ctx context.Context, articleID int64) ([]store.Comment, error) {
	var found []store.Comment
	err := s.read(ctx, func(tx *bbolt.Tx) error {
		article := tx.Bucket(commentsBucket).Bucket(articleKey(articleID))
		if article == nil {
			return nil
		}
		return article.ForEach(func(_, value []byte) error {
			var c store.Comment
			if err := json.Unmarshal(value, &c); err != nil {
				return err
			}
			found = append(found, c)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read the comments on article %d: %w", articleID, err)
	}
	return found, nil
}

// AddNotification implements store.Notifications.
func (s *Store) AddNotification(ctx context.Context, userID string, n store.Notification) error {
	err := s.write(ctx, func(tx *bbolt.Tx) error {
		user, err := tx.Bucket(notificationsBucket).CreateBucketIfNotExists([]byte(userID))
		if err != nil {
			return err
		}
		known, err := hasEvent(user, n.EventID)
		if err != nil || known {
			return err
		}
		number, err := user.NextSequence()
		if err != nil {
			return err
		}
		if number > store.MaxNotifications {
			if err := user.Delete(numberKey(number - store.MaxNotifications)); err != nil {
				return err
			}
		}
		return putJSON(user, number, n)
	})
	if err != nil {
		return fmt.Errorf("store a notification for user %q: %w", userID, err)
	}
	return nil
}

// hasEvent tells whether a user has a notification of the event.
func hasEvent(user *bbolt.Bucket, id string) (known bool, err error) {
	if id == "" {
		return false, nil
	}
	err = user.ForEach(func(_, value []byte) error {
		var n store.Notification
		err := json.Unmarshal(value, &n)
		known = known || n.EventID == id
		return err
	})
	return known, err
}

// NotificationsFor implements store.Notifications.
func (s *Store) NotificationsFor(ctx context.Context, userID string) ([]store.Notification, error) {
	var found []store.Notification
	err := s.read(ctx, func(tx *bbolt.Tx) error {
		user := tx.Bucket(notificationsBucket).Bucket([]byte(userID))
		if user == nil {
			return nil
		}
		cursor := user.Cursor()
		for key, value := cursor.Last(); key != nil; key, value = cursor.Prev() {
			var n store.Notification
			if err := json.Unmarshal(value, &n); err != nil {
				return err
			}
			found = append(found, n)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the notifications for user %q: %w", userID, err)
	}
	return found, nil
}

// write runs fn in a transaction that it may share with other writers, so
// that they share the sync as well. fn may run twice.
func (s *Store) write(ctx context.Context, fn func(*bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.db.Batch(fn)
}

func (s *Store) read(ctx context.Context, fn func(*bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.db.View(fn)
}

func putJSON(b *bbolt.Bucket, number uint64, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put(numberKey(number), value)
}

// numberKey is big endian, so that the order of keys is that of numbers.
func numberKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func articleKey(id int64) []byte { return strconv.AppendInt(nil, id, 10) }
