package harness

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the CPU time that a process has used, all its threads
// together, to the nanosecond; /proc/PID/stat knows only hundredths of a
// second. The clock's id is made of the process id, see clock_getcpuclockid(3).
func cpuTime(pid int) (time.Duration, error) {
	const schedClock = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedClock), &t); err != nil {
		return 0, err
	}
	return time.Duration(t.Nano()), nil
}
