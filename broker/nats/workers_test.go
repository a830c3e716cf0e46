package nats

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"testing"
)

// TestWorkersTogether: jobs that wait for each other are all run, as many as
// there may be at once, and the next waits until one has ended.
func TestWorkersTogether(t *testing.T) {
	const most = 8
	begun, end := make(chan struct{}, 2*most), make(chan struct{})
	w := newWorkers(most, func(int) {
		begun <- struct{}{}
		<-end
	})
	for job := range most {
		if !w.do(job, nil) {
			t.Fatal("a job was refused though nothing was stopped")
		}
	}
	for range most {
		<-begun
	}
	stop := make(chan struct{})
	close(stop)
	if w.do(most, stop) {
		t.Error("a job was taken though all workers are busy")
	}
	taken := make(chan bool)
	go func() { taken <- w.do(most, nil) }()
	end <- struct{}{}
	if !<-taken {
		t.Error("a job was refused though a worker is free")
	}
	close(end)
	<-w.dismiss()
	if len(begun) != 1 {
		t.Errorf("%d jobs ran after the first %d, want 1", len(begun), most)
	}
}

// TestWorkersLoseNothing has many give jobs at once.
func TestWorkersLoseNothing(t *testing.T) {
	const givers, jobs = 16, 1000
	var ran atomic.Int64
	w := newWorkers(4, func(int) { ran.Add(1) })
	done := make(chan struct{})
	for range givers {
		go func() {
			for job := range jobs {
				w.do(job, nil)
			}
			done <- struct{}{}
		}()
	}
	for range givers {
		<-done
	}
	<-w.dismiss()
	if got := ran.Load(); got != givers*jobs {
		t.Errorf("%d jobs ran, want %d", got, givers*jobs)
	}
}

// BenchmarkWorkers runs jobs that read JSON, in bursts of 16: by workers, and
// each by a goroutine of its own.
func BenchmarkWorkers(b *testing.B) {
	var burst sync.WaitGroup
	read := func(document []byte) {
		defer burst.Done()
		var v any
		_ = json.Unmarshal(document, &v)
	}
	bursts := func(b *testing.B, do func(document []byte)) {
		document := []byte(`{"args": [{"id": "7434029", "title": "a title", "tags": ["a", "b"]}], "kwargs": {}}`)
		for n := 0; n < b.N; n += 16 {
			burst.Add(16)
			for range 16 {
				do(document)
			}
			burst.Wait()
		}
	}
	b.Run("kept", func(b *testing.B) {
		w := newWorkers(128, read)
		bursts(b, func(document []byte) { w.do(document, nil) })
		<-w.dismiss()
	})
	b.Run("new", func(b *testing.B) {
		bursts(b, func(document []byte) { go read(document) })
	})
}
