package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Machine is what the figures hold for.
type Machine struct {
	Kernel     string `json:"kernel"`
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	Directory  string `json:"directory"` // how the place for the queues came to be
	FileSystem string `json:"file_system"`
}

// ThisMachine describes the machine and the site.
func ThisMachine(s *Site) Machine {
	return Machine{
		Kernel:     "Linux " + firstLine("/proc/sys/kernel/osrelease"),
		CPU:        cpuModel(readText("/proc/cpuinfo")),
		Cores:      runtime.NumCPU(),
		Directory:  s.About,
		FileSystem: fileSystem(readText("/proc/self/mountinfo"), s.Dir),
	}
}

// readText returns the text of a file, or nothing: what it is for is said, not relied on.
func readText(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(text)
}

func firstLine(path string) string {
	l, _, _ := strings.Cut(readText(path), "\n")
	return l
}

func cpuModel(cpuinfo string) string {
	for l := range strings.Lines(cpuinfo) {
		if name, model, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return "unknown model"
}

// fileSystem describes the file system that dir is on, by the lines of mountinfo:
// proc_pid_mountinfo(5).
func fileSystem(mountinfo, dir string) string {
	about, longest := "unknown", 0
	for l := range strings.Lines(mountinfo) {
		left, right, ok := strings.Cut(l, " - ")
		f, g := strings.Fields(left), strings.Fields(right)
		if !ok || len(f) < 6 || len(g) < 3 {
			continue
		}
		point := f[4]
		if !within(dir, point) || len(point) < longest {
			continue
		}
		// A later mount on the same point covers the earlier.
		about, longest = fmt.Sprintf("%s on %s (%s; %s)%s", g[0], g[1], f[5], g[2], journal(g[0], g[1])), len(point)
	}
	return about
}

func within(dir, point string) bool {
	return point == "/" || dir == point || strings.HasPrefix(dir, point+"/")
}

// journal says whether an ext4 has one: not all do, and without one syncs are cheaper.
func journal(kind, device string) string {
	if kind != "ext4" {
		return ""
	}
	if found, err := filepath.Glob("/proc/fs/jbd2/" + filepath.Base(device) + "-*"); err == nil && len(found) > 0 {
		return ", journal on"
	}
	return ", WITHOUT a journal"
}

// A Calm is what else went on on the machine, in one second.
type Calm struct {
	Requests int     `json:"disk_requests"` // reads and writes completed by all disks
	KiB      int     `json:"disk_kib"`
	Busy     float64 `json:"cpu_busy"` // part of all cores, 0 to 1
}

func (c Calm) String() string {
	verdict := "quiet"
	if c.Requests > 50 || c.Busy > 0.1 {
		verdict = "NOT QUIET, take the figures with care"
	}
	return fmt.Sprintf("%d disk requests, %d KiB, processors %.0f %% busy: %s",
		c.Requests, c.KiB, 100*c.Busy, verdict)
}

// Quiet watches the machine for a second.
func Quiet(ctx context.Context) (Calm, error) {
	r0, s0 := diskUse(readText("/proc/diskstats"), partition)
	busy0, all0, err := cpuUse(firstLine("/proc/stat"))
	if err != nil {
		return Calm{}, err
	}
	select {
	case <-ctx.Done():
		return Calm{}, context.Cause(ctx)
	case <-time.After(time.Second):
	}
	r1, s1 := diskUse(readText("/proc/diskstats"), partition)
	busy1, all1, err := cpuUse(firstLine("/proc/stat"))
	if err != nil {
		return Calm{}, err
	}
	return Calm{r1 - r0, (s1 - s0) / 2, float64(busy1-busy0) / float64(max(1, all1-all0))}, nil
}

// diskUse sums requests and sectors of 512 bytes over the disks in a text in the form of
// /proc/diskstats (Documentation/admin-guide/iostats.rst): whole disks only.
func diskUse(text string, part func(string) bool) (requests, sectors int) {
	for l := range strings.Lines(text) {
		f := strings.Fields(l)
		if len(f) < 14 || layered(f[2]) || part(f[2]) {
			continue
		}
		requests += number(f[3]) + number(f[7])
		sectors += number(f[5]) + number(f[9])
	}
	return requests, sectors
}

// layered says whether what a block device does shows in a disk below it, or in none.
func layered(name string) bool {
	return slices.ContainsFunc([]string{"loop", "ram", "zram", "dm-", "md"}, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}

// partition says whether a block device is a part of another that is counted whole.
func partition(name string) bool { return exists("/sys/class/block/" + name + "/partition") }

// number reads a decimal of the kernel's; anything else is zero.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// cpuUse reads the first line of /proc/stat (proc_stat(5)): ticks not idle, and all.
func cpuUse(line string) (busy, all int, err error) {
	f := strings.Fields(line)
	if len(f) < 6 || f[0] != "cpu" {
		return 0, 0, errors.New("/proc/stat is of an unknown form")
	}
	for i, s := range f[1:min(len(f), 9)] { // guest times, from 9 on, are in user time
		n := number(s)
		all += n
		if i != 3 && i != 4 { // idle, iowait
			busy += n
		}
	}
	return busy, all, nil
}
