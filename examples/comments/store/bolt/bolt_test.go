package bolt

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/enoki-go/enoki/examples/comments/store"
	"github.com/enoki-go/enoki/examples/comments/store/storetest"
)

func openStore(at string) (store.Store, error) { return Open(at) }

func TestMain(m *testing.M) { storetest.Main(m, openStore) }

func path(t *testing.T) string { return filepath.Join(t.TempDir(), "state", "comments.db") }

func TestStore(t *testing.T) { storetest.Run(t, openStore, path) }

func TestFileInUse(t *testing.T) {
	at := path(t)
	s, err := Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = Open(at)
	if err == nil || !strings.Contains(err.Error(), at+" is in use by another process") {
		t.Errorf("opened twice: %v", err)
	}
}

func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("open a directory: %v", err)
	}
}

func TestLastID(t *testing.T) {
	s, err := Open(path(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(usersDataBucket).SetSequence(store.LastUserID - store.FirstUserID)
	})
	if err != nil {
		t.Fatal(err)
	}
	id, isNew, err := s.Register(t.Context(), "last@example.com", json.RawMessage(`{}`))
	if id != "9999999" || !isNew || err != nil {
		t.Errorf("the last id: %q, %v, %v", id, isNew, err)
	}
	for range 2 {
		if id, _, err := s.Register(t.Context(), "late@example.com", json.RawMessage(`{}`)); !errors.Is(err, store.ErrNoIDs) {
			t.Errorf("after the last id: %q, %v; want ErrNoIDs", id, err)
		}
	}
	if id, _, err := s.Register(t.Context(), "last@example.com", json.RawMessage(`{}`)); id != "9999999" || err != nil {
		t.Errorf("a known email after the last id: %q, %v", id, err)
	}
}
