package powercut

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cgq/pkg/endtoend/recorder"
)

// waitingMail is mail that nobody takes yet: it fills the disk.
var waitingMail = []kind{
	{50, []string{"x@" + laterDomain}, 300, 3000},
	{30, []string{"x@" + laterDomain}, 8 << 10, 30 << 10},
	{20, []string{"x@" + laterDomain}, 33 << 10, 200 << 10}, // over inline_limit
}

// A small is a site on a small ext4 of its own, with senders whose mail nobody takes.
type small struct {
	*site
	sink    *sink
	sending *load
	image   string
	mounted string
	unmount func() error
}

// newSmall makes an ext4 of so many bytes with the options of mkfs.ext4.
func newSmall(t *testing.T, size int64, options ...string) *small {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes a while")
	}
	needDevices(t, "/dev/loop-control")
	need(t, "mkfs.ext4", "e2fsck")
	dir := fast(t)
	d := &small{image: filepath.Join(dir, "image"), mounted: filepath.Join(dir, "mounted")}
	d.unmount = func() error { return nil }
	file, err := os.Create(d.image)
	check(t, err, file.Truncate(size), file.Close(), os.Mkdir(d.mounted, 0o700))
	tool(t, nil, "mkfs.ext4", append(append([]string{"-q", "-b", "4096", "-J", "size=4"}, options...), d.image)...)
	d.mount(t)
	t.Cleanup(func() { check(t, d.unmount()) })
	var c clock
	d.sink, err = startSink("127.0.0.1:0", c.now)
	check(t, err)
	t.Cleanup(d.sink.stop)
	d.sink.refuse(laterDomain, 451)
	d.site = newSite(t, filepath.Join(d.mounted, "cgq"), d.sink.address)
	d.sending = &load{ledger: &ledger{}, now: c.now, kinds: waitingMail}
	t.Cleanup(func() {
		d.sending.over.Store(true)
		_ = d.end(syscall.SIGKILL) // after a failure
		d.sending.stop()
	})
	live(t, d.site, d.sending)
	d.accounts(t)
	d.sending.start(8)
	return d
}

// mount mounts the image; errors of the file system make it read-only.
func (d *small) mount(t *testing.T) {
	t.Helper()
	device, err := recorder.Attach(d.image)
	check(t, err)
	defer device.Close()
	check(t, os.NewSyscallError("mount ext4", unix.Mount(device.Name(), d.mounted, "ext4", 0, "errors=remount-ro")))
	d.unmount = func() error {
		d.unmount = func() error { return nil }
		return unmount(d.mounted)
	}
}

// device is the name of the loop device, without /dev.
func (d *small) device(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mounts")
	check(t, err)
	for line := range strings.Lines(string(b)) {
		if words := strings.Fields(line); len(words) > 1 && words[1] == d.mounted {
			return filepath.Base(words[0])
		}
	}
	t.Fatalf("%s is not mounted", d.mounted)
	return ""
}

// refused counts the messages that were refused so far, by code.
func (d *small) refused() map[int]int {
	codes := map[int]int{}
	l := d.sending.ledger
	l.change(func() {
		for _, s := range l.Sent {
			if s.Reply >= 400 {
				codes[s.Reply]++
			}
		}
	})
	return codes
}

// waitRefused waits until so many more were refused.
func (d *small) waitRefused(t *testing.T, more int) {
	t.Helper()
	count := func() (n int) {
		for _, m := range d.refused() {
			n += m
		}
		return n
	}
	want := count() + more
	wait(t, func() (bool, string) { return count() >= want, fmt.Sprintf("refused by code: %v", d.refused()) })
}

// waitAccepted waits until so many more were accepted.
func (d *small) waitAccepted(t *testing.T, more int) {
	t.Helper()
	want := d.sending.ledger.accepted() + more
	wait(t, func() (bool, string) {
		got := d.sending.ledger.accepted()
		return got >= want, fmt.Sprintf("%d accepted, want %d; refused by code: %v", got, want, d.refused())
	})
}

// finish stops the senders, lets all mail go, and judges: nothing is lost, and all that
// was refused was refused for now.
func (d *small) finish(t *testing.T) *verdict {
	t.Helper()
	d.sending.stop()
	d.sink.refuse(laterDomain, 0)
	v := finish(t, d.site, d.sink, d.sending.ledger)
	t.Logf("%v; refused by code: %v", v, d.refused())
	for code, n := range d.refused() {
		if code != 451 && code != 452 && code != 421 { // 421: it ends
			t.Errorf("%d refused with %d; want 451, 452 or 421", n, code)
		}
	}
	if v.owed == 0 || len(d.refused()) == 0 {
		t.Errorf("%d recipients owed, %v refused: want some of both", v.owed, d.refused())
	}
	return v
}

// ballast takes all there is of something with make, which is given names of files
// until it fails, and returns what gives it back.
func ballast(t *testing.T, dir string, make func(name string) error) (release func()) {
	t.Helper()
	check(t, os.Mkdir(dir, 0o700))
	for n := 0; ; n++ {
		err := make(filepath.Join(dir, fmt.Sprint(n)))
		if errors.Is(err, syscall.ENOSPC) {
			return func() { check(t, os.RemoveAll(dir)) }
		}
		check(t, err)
	}
}

func TestFullDisk(t *testing.T) {
	for _, tt := range []struct {
		name    string
		size    int64
		options []string
		make    func(name string) error
	}{
		{"no space", 80 << 20, nil, func(name string) error { return os.WriteFile(name, make([]byte, 64<<10), 0o600) }},
		{"no inodes", 160 << 20, []string{"-N", "700"}, func(name string) error { return os.WriteFile(name, nil, 0o600) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newSmall(t, tt.size, tt.options...)
			d.waitAccepted(t, 50)
			release := ballast(t, filepath.Join(d.mounted, "ballast"), tt.make) // all at once
			d.waitRefused(t, 20)
			release()
			d.waitAccepted(t, 1) // by itself
			d.waitRefused(t, 20) // full of mail, this time
			d.sink.refuse(laterDomain, 0)
			_, _, err := d.cgq("queue", "release", "--module", "SMTP", "--yes")
			check(t, err)
			d.waitAccepted(t, 50) // by itself
			if bad := d.finish(t).bad(); len(bad) > 0 {
				t.Error(strings.Join(bad, "\n"))
			}
			check(t, d.end(syscall.SIGTERM))
		})
	}
}

// After an error of the file system, which makes it read-only, the journal cannot be
// trusted any more (SPOOL E1): nothing is accepted until a restart.
func TestReadOnly(t *testing.T) {
	d := newSmall(t, 160<<20)
	trigger := filepath.Join("/sys/fs/ext4", d.device(t), "trigger_fs_error")
	if _, err := os.Stat(trigger); err != nil {
		t.Skipf("%v: skipped", err)
	}
	d.waitAccepted(t, 200)
	check(t, os.WriteFile(trigger, []byte("a test"), 0))
	d.waitRefused(t, 1) // at once; then the daemon may go on refusing, or end
	if err := d.end(syscall.SIGTERM); err == nil {
		t.Error("cgqd has ended with status 0; want a word about what it could not write")
	} else {
		t.Log(err)
	}
	check(t, d.unmount())
	tool(t, []int{1}, "e2fsck", "-fy", d.image)
	d.mount(t)
	live(t, d.site, d.sending)
	d.waitAccepted(t, 50)
	v := d.finish(t)
	v.revived = nil // a failed journal may keep what it refused (SPOOL E1)
	if bad := v.bad(); len(bad) > 0 {
		t.Error(strings.Join(bad, "\n"))
	}
	check(t, d.end(syscall.SIGTERM))
}
