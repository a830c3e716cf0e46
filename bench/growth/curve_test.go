package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSaveKeepsOtherPoints measures one broker after the other.
func TestSaveKeepsOtherPoints(t *testing.T) {
	dir := t.TempDir()
	c := curves()[0]
	nats := row{broker: "nats", x: 10, start: 5 * time.Millisecond, p50: 7 * time.Microsecond, p99: time.Millisecond, memory: 2e6, goroutines: 20, rate: 900, cpu: 30}
	amqp := row{broker: "amqp", x: 10, memory: 3e6, rate: 90, cpu: 60}
	for _, rows := range [][]row{{nats}, {amqp}, {{broker: "amqp", x: 10, memory: 4e6, rate: 80, cpu: 50}}} {
		if err := c.save(dir, dir, rows); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := withEarlier(filepath.Join(dir, "growth-services.csv"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 || rows[0].memory != 4e6 || !slices.Contains(rows, nats) {
		t.Errorf("got %v", rows)
	}
	picture, err := os.ReadFile(filepath.Join(dir, "growth-services-memory.svg"))
	if err != nil || !strings.Contains(string(picture), ">NATS<") || !strings.Contains(string(picture), ">RabbitMQ<") {
		t.Errorf("the picture lacks a line: %v\n%s", err, picture)
	}
}
