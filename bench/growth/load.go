package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/bench/document"
	"github.com/enoki-go/enoki/bench/service"
)

// warm is how long calls are made before they count.
const warm = 100 * time.Millisecond

// take starts the services, has the callers call for a turn, and stops all of
// it.
func (p *point) take(turn time.Duration) (sample, error) {
	services, is, err := startProcess(&p.work)
	if err != nil {
		return sample{}, err
	}
	defer services.stop()
	s := sample{start: is.Start, memory: is.Memory, goroutines: is.Goroutines}
	if strings.HasPrefix(is.Address, "memory:") {
		return s, nil // nobody else can call
	}
	link, err := service.Dial(context.Background(), is.Address)
	if err != nil {
		return s, err
	}
	defer link.Close()
	var contract store
	if err := enoki.NewClient(link, service.Options()).Bind(p.work.Name, &contract); err != nil {
		return s, err
	}
	return s, p.work.load(&contract, services, turn, &s)
}

// load calls for a turn and adds what it took.
func (w *work) load(contract *store, services *process, turn time.Duration, s *sample) error {
	if _, _, err := w.call(contract, warm); err != nil {
		return err
	}
	before, err := services.cpu()
	if err != nil {
		return err
	}
	own, began := cpuTime(), time.Now()
	times, failed, err := w.call(contract, turn)
	if err != nil {
		return err
	}
	s.elapsed, s.cpu, s.calls = time.Since(began), cpuTime()-own, len(times)
	after, err := services.cpu()
	s.cpu += after - before
	slices.Sort(times)
	s.p50, s.p99 = times[len(times)/2], times[len(times)*99/100]
	return errors.Join(err, failed)
}

// call has the callers call until the time is over. failed is the error of a
// call, err says that none succeeded.
func (w *work) call(contract *store, d time.Duration) (times []time.Duration, failed, err error) {
	sent, err := document.New(w.size)
	if err != nil {
		return nil, nil, err
	}
	end := time.Now().Add(d)
	var mu sync.Mutex // guards times and failed
	var group sync.WaitGroup
	for range w.callers {
		group.Go(func() {
			took, err := callUntil(end, contract, &sent)
			mu.Lock()
			defer mu.Unlock()
			times = append(times, took...)
			failed = errors.Join(failed, err)
		})
	}
	group.Wait()
	if len(times) == 0 {
		return nil, nil, errors.Join(errors.New("no call succeeded"), failed)
	}
	return times, failed, nil
}

// callUntil makes a call at least, and no further one after an error.
func callUntil(end time.Time, contract *store, sent *document.Document) (times []time.Duration, err error) {
	for now := time.Now(); len(times) == 0 || now.Before(end); {
		got, err := contract.Put(context.Background(), *sent)
		if err == nil {
			err = document.Same(sent, &got)
		}
		if err != nil {
			return times, err
		}
		then := time.Now()
		times = append(times, then.Sub(now))
		now = then
	}
	return times, nil
}
