package bolt_test

import (
	"context"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/enoki-go/enoki/outbox/bolt"
	"github.com/enoki-go/enoki/outbox/outboxtest"
)

var data = []byte("data")

func TestContract(t *testing.T) {
	outboxtest.Run(t, func(t *testing.T) outboxtest.Database[*bbolt.Tx] {
		db := open(t)
		tx := bolt.PerCall(db)
		return outboxtest.Database[*bbolt.Tx]{
			Store: bolt.New(db), PerCall: tx, Inbox: bolt.NewInbox(tx),
			Write: func(_ context.Context, tx *bbolt.Tx, name string) error {
				b, err := tx.CreateBucketIfNotExists(data)
				if err != nil {
					return err
				}
				n, err := b.NextSequence()
				if err != nil {
					return err
				}
				return b.Put([]byte{byte(n)}, []byte(name))
			},
			Written: func(context.Context) (names []string, err error) {
				err = db.View(func(tx *bbolt.Tx) error {
					if tx.Bucket(data) == nil {
						return nil
					}
					return tx.Bucket(data).ForEach(func(_, name []byte) error {
						names = append(names, string(name))
						return nil
					})
				})
				return names, err
			},
		}
	})
}

func open(t testing.TB) *bbolt.DB {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "data"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // after the services have stopped
	return db
}
