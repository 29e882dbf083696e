package rig

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	line := "321 (a b) c) S 7 321 321 0 -1 4194304 100 0 0 0 150 50 20 5 20 0 8 0 1000 0 0\n"
	got, err := parseStat([]byte(line))
	if want := (procStat{321, 7, 2250 * time.Millisecond}); got != want || err != nil {
		t.Errorf("parseStat = %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "321 (x", "321 (x) S 7", "x (y) S 7 1 1 0 -1 4 1 0 0 0 1 1 1 1 "} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("parseStat(%q) = %+v, want an error", bad, got)
		}
	}
}

func TestTreeTimeCountsDescendantsOnly(t *testing.T) {
	stats := map[int]procStat{}
	for _, s := range []procStat{{1, 0, 100}, {10, 1, 1}, {11, 10, 2}, {12, 11, 4}, {13, 1, 50}} {
		stats[s.pid] = s
	}
	if got := treeTime(stats, 10); got != 7 {
		t.Errorf("treeTime(10) = %d, want 7", got)
	}
}

func TestProcessStops(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	p, err := StartProcess(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	if _, err := p.CPU(); err != nil {
		t.Errorf("cpu = %v", err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stop = %v", err)
	}
	if err := p.Stop(); err == nil {
		t.Error("stop of what has ended = nil, want an error: a server that dies must not pass for one that was measured")
	}
}

func TestFileSystemIsThatOfTheLongestMountPoint(t *testing.T) {
	const mountinfo = `23 1 254:0 / / rw,relatime - ext4 /dev/root rw,discard
40 23 0:30 / /var/tmp rw,nosuid shared:1 - tmpfs none rw,size=1g
41 23 7:0 / /var/tmp2 rw - xfs /dev/loop9 rw
`
	for dir, want := range map[string]string{
		"/var/tmp/x": "tmpfs on none (rw,nosuid; rw,size=1g)",
		"/var/tmp":   "tmpfs on none (rw,nosuid; rw,size=1g)",
		"/var/tmp2":  "xfs on /dev/loop9 (rw; rw)",
		"/home/x":    "ext4 on /dev/root (rw,relatime; rw,discard), WITHOUT a journal",
	} {
		if got := fileSystem(mountinfo, dir); got != want {
			t.Errorf("fileSystem(%s) = %q, want %q", dir, got, want)
		}
	}
}

func TestDiskUseCountsWholeDisks(t *testing.T) {
	const diskstats = `   7       0 loop0 9 0 9 0 9 0 9 0 0 0 0 0 0 0 0 0 0
 254       0 vda 100 5 2000 9 30 6 400 9 0 9 9 0 0 0 0 0 0
 254       1 vda1 90 5 1900 9 30 6 400 9 0 9 9 0 0 0 0 0 0
 259       0 nvme0n1 1 0 8 0 2 0 16 0 0 0 0 0 0 0 0 0 0
`
	requests, sectors := diskUse(diskstats, func(name string) bool { return name == "vda1" })
	if requests != 133 || sectors != 2424 {
		t.Errorf("diskUse = %d requests, %d sectors; want 133, 2424", requests, sectors)
	}
}

func TestCPUUse(t *testing.T) {
	busy, all, err := cpuUse("cpu  10 1 5 80 4 0 2 0 7 0")
	if busy != 18 || all != 102 || err != nil {
		t.Errorf("cpuUse = %d of %d, %v; want 18 of 102: idle and iowait are not busy, guest is in user", busy, all, err)
	}
	if _, _, err := cpuUse("intr 1 2 3 4 5 6"); err == nil {
		t.Error("cpuUse of another line = nil error")
	}
}

func TestParseStatus(t *testing.T) {
	const status = "Name:\tcgqd\nVmPeak:\t 2000 kB\nVmHWM:\t     120 kB\nVmRSS:\t      80 kB\nThreads:\t7\n"
	peak, now, err := parseStatus(status)
	if peak != 120<<10 || now != 80<<10 || err != nil {
		t.Errorf("parseStatus = %d, %d, %v; want 120 KiB, 80 KiB", peak, now, err)
	}
	if _, _, err := parseStatus("Name:\tkthread\n"); err == nil {
		t.Error("parseStatus without memory = nil error")
	}
}

func TestSiteInADirectory(t *testing.T) {
	parent := t.TempDir()
	s, err := Open(t.Context(), Plan{Dir: parent})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(); err != nil {
		t.Errorf("Sync: %v", err)
	}
	if forgotten, err := s.Forget(t.Context()); forgotten || err != nil {
		t.Errorf("Forget = %v, %v; want false: the file system is not ours", forgotten, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(parent); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
