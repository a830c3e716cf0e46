// Package redis keeps what the comment site keeps on a Redis server (5.0 or
// newer, not a Redis Cluster). Users are in the two hashes in which earlier
// comment sites kept them, so that an existing database serves:
//
//	users       hash: email to u_id
//	users_data  hash: u_id to the JSON of the user data
//
// What is below these keys is this package's own:
//
//	enoki:comments:last_u_id               the last u_id given by this package
//	enoki:comments:taken_u_ids             set: u_ids in users that have no user data
//	enoki:comments:last_comment_id         the last comment id given
//	enoki:comments:article:<article id>    hash: comment id to the JSON of the comment
//	enoki:comments:notifications:<u_id>    list: JSON of notifications, newest first
//	enoki:comments:outbox                  list: JSON of events that the broker does not have yet, oldest first
//	enoki:comments:relay                   who brings them to the broker at the moment
//
// What Redis has accepted is as safe as its own settings make it. With
// "appendonly yes" and "appendfsync always" a server that is killed at any
// moment has lost nothing and has nothing half-done; Open warns when a server
// is set otherwise.
package redis

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/enoki-go/enoki/examples/comments/store"
)

const (
	usersKey         = "users"
	usersDataKey     = "users_data"
	lastUserIDKey    = "enoki:comments:last_u_id"
	takenUserIDsKey  = "enoki:comments:taken_u_ids"
	lastCommentIDKey = "enoki:comments:last_comment_id"
	outboxKey        = "enoki:comments:outbox"
	deadKey          = "enoki:comments:outbox:dead"
	relayKey         = "enoki:comments:relay"
)

func articleKey(id int64) string            { return "enoki:comments:article:" + strconv.FormatInt(id, 10) }
func notificationsKey(userID string) string { return "enoki:comments:notifications:" + userID }

// Store is a link to a Redis server. It finds the server again after a
// failure; what is asked meanwhile ends with an error.
type Store struct {
	client *redis.Client
	log    *slog.Logger
	added  chan struct{} // has an item when outboxKey got one
}

var _ store.Store = (*Store)(nil)

// Open connects to the server at url, such as redis://127.0.0.1:6379/0. It
// reads the hash users once, so that no id found there is given again.
func Open(ctx context.Context, url string, log *slog.Logger) (*Store, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		// The error of ParseURL may hold the URL, and the URL a password.
		return nil, errors.New("the store's URL is not one of Redis: write redis://user:password@host:port/database")
	}
	// A write that was retried after its answer got lost would find its own
	// registration and call it someone else's.
	o.MaxRetries = -1
	o.ContextTimeoutEnabled = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	s := &Store{client: redis.NewClient(o), log: log, added: make(chan struct{}, 1)}
	s.client.AddHook(unavailable{})
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open the Redis store at %s: %w", o.Addr, err), s.Close())
	}
	return s, nil
}

func (s *Store) prepare(ctx context.Context) error {
	if err := s.client.Ping(ctx).Err(); err != nil {
		return err
	}
	s.warnOfLoss(ctx)
	return s.noteTakenIDs(ctx)
}

// warnOfLoss says so when a crash of the server can lose what it accepted. A
// server that hides its settings is not asked twice.
func (s *Store) warnOfLoss(ctx context.Context) {
	settings, err := s.client.ConfigGet(ctx, "append*").Result()
	if err != nil {
		s.log.Debug("redis does not show its settings", "error", err)
		return
	}
	if settings["appendonly"] != "yes" || settings["appendfsync"] != "always" {
		s.log.Warn("redis can lose its latest writes in a crash: set appendonly yes and appendfsync always",
			"appendonly", settings["appendonly"], "appendfsync", settings["appendfsync"])
	}
}

// noteTakenIDs notes the ids that users holds and users_data lacks: another
// program died between writing the one and the other.
func (s *Store) noteTakenIDs(ctx context.Context) error {
	const page = 1000 // users at a time
	var cursor uint64
	for {
		pairs, next, err := s.client.HScan(ctx, usersKey, cursor, "", page).Result()
		if err != nil {
			return err
		}
		ids := make([]string, 0, len(pairs)/2)
		for i := 1; i < len(pairs); i += 2 {
			ids = append(ids, pairs[i])
		}
		if err := s.noteTaken(ctx, ids); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

func (s *Store) noteTaken(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	known := make([]*redis.BoolCmd, len(ids))
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			known[i] = p.HExists(ctx, usersDataKey, id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var taken []any
	for i, id := range ids {
		if !known[i].Val() {
			taken = append(taken, id)
		}
	}
	if len(taken) == 0 {
		return nil
	}
	return s.client.SAdd(ctx, takenUserIDsKey, taken...).Err()
}

// Close closes the connections to the server.
func (s *Store) Close() error { return s.client.Close() }

// registerScript runs in one piece: a server that dies has it all or nothing of it
// in its log. It answers with an id and a word. An email of an earlier site
// that has no user data gets the data of now. The last argument bounds how
// many ids one run looks at, since the server does nothing else meanwhile.
const registerScript = `
local id = redis.call('HGET', KEYS[1], ARGV[1])
if id then
	redis.call('HSETNX', KEYS[2], id, ARGV[2])
	return {id, 'known'}
end
local last = tonumber(redis.call('GET', KEYS[3]) or ARGV[3] - 1)
for _ = 1, tonumber(ARGV[5]) do
	if last >= tonumber(ARGV[4]) then return {'', 'none left'} end
	last = last + 1
	id = string.format('%d', last)
	if redis.call('HEXISTS', KEYS[2], id) + redis.call('SISMEMBER', KEYS[4], id) == 0 then
		redis.call('SET', KEYS[3], id)
		redis.call('HSET', KEYS[2], id, ARGV[2])
		redis.call('HSET', KEYS[1], ARGV[1], id)
		return {id, 'new'}
	end
end
redis.call('SET', KEYS[3], string.format('%d', last))
return {'', 'again'}`

var registerUser = redis.NewScript(registerScript)

// Register implements store.Users.
func (s *Store) Register(ctx context.Context, email string, data json.RawMessage) (id string, isNew bool, err error) {
	const idsPerRun = 10_000 // some milliseconds of the server's time
	keys := []string{usersKey, usersDataKey, lastUserIDKey, takenUserIDsKey}
	word := "again"
	for word == "again" {
		answer, err := registerUser.Run(ctx, s.client, keys,
			email, []byte(data), store.FirstUserID, store.LastUserID, idsPerRun).StringSlice()
		if err != nil {
			return "", false, fmt.Errorf("register %q: %w", email, err)
		}
		id, word = answer[0], answer[1]
	}
	if word == "none left" {
		return "", false, fmt.Errorf("register %q: %w", email, store.ErrNoIDs)
	}
	return id, word == "new", nil
}

// UserData implements store.Users.
func (s *Store) UserData(ctx context.Context, id string) (json.RawMessage, error) {
	data, err := s.client.HGet(ctx, usersDataKey, id).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the data of user %q: %w", id, err)
	}
	return data, nil
}

// AddComment implements store.Comments. An id is taken first, since the events
// have it; one that is then not used is missing.
func (s *Store) AddComment(ctx context.Context, c store.Comment, announce func(store.Comment, *store.Posting) error) (int64, error) {
	err := s.addComment(ctx, &c, announce)
	if err != nil {
		return 0, fmt.Errorf("store a comment on article %d: %w", c.ArticleID, err)
	}
	return c.ID, nil
}

func (s *Store) addComment(ctx context.Context, c *store.Comment, announce func(store.Comment, *store.Posting) error) error {
	var err error
	if c.ID, err = s.client.Incr(ctx, lastCommentIDKey).Result(); err != nil {
		return err
	}
	var posting store.Posting
	if err := announce(*c, &posting); err != nil {
		return err
	}
	unnumbered := *c
	unnumbered.ID = 0 // the field of the hash tells it
	body, err := json.Marshal(unnumbered)
	if err != nil {
		return err
	}
	_, err = s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, articleKey(c.ArticleID), strconv.FormatInt(c.ID, 10), body)
		return pushEvents(ctx, p, posting.Events)
	})
	s.wake()
	return err
}

// CommentsOn implements store.Comments.
func (s *Store) CommentsOn(ctx context.Context, articleID int64) ([]store.Comment, error) {
	fields, err := s.client.HGetAll(ctx, articleKey(articleID)).Result()
	if err != nil {
		return nil, fmt.Errorf("read the comments on article %d: %w", articleID, err)
	}
	found := make([]store.Comment, 0, len(fields))
	for id, body := range fields {
		c, err := decodeComment(id, body)
		if err != nil {
			return nil, fmt.Errorf("read comment %q on article %d: %w", id, articleID, err)
		}
		found = append(found, c)
	}
	slices.SortFunc(found, func(a, b store.Comment) int { return cmp.Compare(a.ID, b.ID) })
	return found, nil
}

func decodeComment(id, body string) (store.Comment, error) {
	var c store.Comment
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		return c, err
	}
	var err error
	c.ID, err = strconv.ParseInt(id, 10, 64)
	return c, err
}

var addNotification = redis.NewScript(`
if ARGV[2] ~= '' then
	for _, text in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
		if cjson.decode(text).event_id == ARGV[2] then return end
	end
end
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, ARGV[3] - 1)`)

// AddNotification implements store.Notifications.
func (s *Store) AddNotification(ctx context.Context, userID string, n store.Notification) error {
	body, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("store a notification for user %q: %w", userID, err)
	}
	err = addNotification.Run(ctx, s.client, []string{notificationsKey(userID)}, body, n.EventID, store.MaxNotifications).Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("store a notification for user %q: %w", userID, err)
	}
	return nil
}

// NotificationsFor implements store.Notifications.
func (s *Store) NotificationsFor(ctx context.Context, userID string) ([]store.Notification, error) {
	bodies, err := s.client.LRange(ctx, notificationsKey(userID), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("read the notifications for user %q: %w", userID, err)
	}
	found := make([]store.Notification, len(bodies))
	for i, body := range bodies {
		if err := json.Unmarshal([]byte(body), &found[i]); err != nil {
			return nil, fmt.Errorf("read the notifications for user %q: %w", userID, err)
		}
	}
	return found, nil
}
