package embedded

import (
	"fmt"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

const (
	// healPause is the pause between two checks of the room on the disk.
	healPause = time.Second

	// relapse is the shortest time between two starts of the server. Other programs
	// may fill the disk again at once.
	relapse = 10 * time.Second

	// The room on the disk that a restart needs is an eighth of the limit, but at
	// least leastRoom and at most mostRoom bytes.
	leastRoom = 1 << 20
	mostRoom  = 64 << 20
)

func (s *Server) running() *natsserver.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

// Ready returns nil while the server stores messages. Otherwise its error says
// why not, and what helps.
func (s *Server) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sick
}

func (s *Server) setSick(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sick = err
}

// heal starts the server again after the disk refused a write, most likely
// because it is full. The stream refuses all further messages until then. heal
// first waits until there is room.
func (s *Server) heal() {
	var last time.Time
	for {
		var why string
		select {
		case why = <-s.log.hurt:
		case <-s.closing:
			return
		}
		s.setSick(fmt.Errorf("embedded NATS: the disk below %s did not take a write: %s", s.options.Dir, why))
		for pause := max(healPause, time.Until(last.Add(relapse))); s.sleep(pause); pause = healPause {
			if err := s.room(); err != nil {
				s.setSick(err)
				continue
			}
			last = time.Now()
			if err := s.restart(); err != nil {
				s.setSick(err)
				s.options.Logger.Error("the embedded broker can't be started again yet", "error", err)
				continue
			}
			s.setSick(nil)
			s.options.Logger.Info("the embedded broker was started again and stores messages", "dir", s.options.Dir)
			break
		}
	}
}

// sleep waits for d. It returns false when the server has to end.
func (s *Server) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.closing:
		return false
	}
}

// room returns nil if the disk has enough room.
func (s *Server) room() error {
	need := min(max(s.maxStore/8, leastRoom), mostRoom)
	free, err := freeSpace(s.options.Dir)
	if err == nil && free < need {
		err = fmt.Errorf("the disk is full: %d MiB are free: make room, it stores messages again by itself when there are %d", free>>20, need>>20)
	}
	if err != nil {
		return fmt.Errorf("embedded NATS: %s: %w", s.options.Dir, err)
	}
	return nil
}

// restart replaces the server by a new one with the same port and files.
func (s *Server) restart() error {
	old := s.running()
	old.Shutdown()
	old.WaitForShutdown()
	select {
	case <-s.log.hurt: // the old server caused it
	default:
	}
	server, err := s.options.run(s.maxStore, s.log)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = server
	return nil
}
