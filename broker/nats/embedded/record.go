package embedded

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// NATS drops what it can't read of a damaged file, with all that stands behind
// it there, and says nothing. So the server's own account of what it has lost is
// looked at when it starts, and the last sequence of each stream is kept in a
// file of ours: one that has gone back has lost confirmed messages. Not noticed
// are those that were stored within recordPause before a crash, and those lost
// in the middle of a stream when the server itself does not count them: they
// look as if they had been handled.

// recordName is the file of the last sequences, in the server's directory.
const recordName = "sequences.json"

// recordPause is the time between two records.
const recordPause = 5 * time.Second

// record is what a stream had when it was looked at.
type record struct {
	Created time.Time `json:"created"`
	Last    uint64    `json:"last"` // sequence
}

// streamDetails returns the state of every stream.
func streamDetails(server *natsserver.Server) []natsserver.StreamDetail {
	state, err := server.Jsz(&natsserver.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return nil // it is shutting down
	}
	var all []natsserver.StreamDetail
	for _, account := range state.AccountDetails {
		all = append(all, account.Streams...)
	}
	return all
}

// lostSince returns how many messages each stream has lost since the records
// were made.
func lostSince(before map[string]record, now []natsserver.StreamDetail) map[string]uint64 {
	lost := make(map[string]uint64)
	for _, stream := range now {
		var n uint64
		if stream.State.Lost != nil {
			n = uint64(len(stream.State.Lost.Msgs))
		}
		was, known := before[stream.Name]
		if known && was.Created.Equal(stream.Created) && was.Last > stream.State.LastSeq {
			n = max(n, was.Last-stream.State.LastSeq)
		}
		if n > 0 {
			lost[stream.Name] = n
		}
	}
	return lost
}

// findLost tells of what is lost. It is called before anybody connects.
func (s *Server) findLost() {
	s.lost = lostSince(s.readRecords(), streamDetails(s.server))
	for _, stream := range slices.Sorted(maps.Keys(s.lost)) {
		s.options.Logger.Error("embedded NATS: confirmed messages are lost: a file of the store is damaged; look at the disk, and for the events of that time",
			"stream", stream, "lost", s.lost[stream], "dir", s.options.Dir)
	}
}

// Lost returns how many confirmed messages each stream was found to have lost
// when the server was started, by the name of the stream.
func (s *Server) Lost() map[string]uint64 { return maps.Clone(s.lost) }

func (s *Server) readRecords() map[string]record {
	var records map[string]record
	text, err := os.ReadFile(filepath.Join(s.options.Dir, recordName))
	if err == nil {
		err = json.Unmarshal(text, &records)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.options.Logger.Warn("embedded NATS: it can't be told whether messages are lost", "error", err)
	}
	return records
}

// keepRecords writes the records until the server has to end.
func (s *Server) keepRecords() {
	var last map[string]record
	for more := true; more; {
		more = s.sleep(recordPause)
		now := make(map[string]record)
		for _, stream := range streamDetails(s.running()) {
			now[stream.Name] = record{stream.Created, stream.State.LastSeq}
		}
		if len(now) == 0 || maps.Equal(now, last) {
			continue
		}
		if err := s.writeRecords(now); err != nil {
			s.options.Logger.Debug("embedded NATS: a record is not written", "error", err) // on a full disk, say
			continue
		}
		last = now
	}
}

func (s *Server) writeRecords(records map[string]record) error {
	text, err := json.Marshal(records)
	if err != nil {
		return err
	}
	name := filepath.Join(s.options.Dir, recordName)
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}
