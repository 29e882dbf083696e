package submitted

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cgq/pkg/module"
)

// Whatever somebody puts there: nothing is followed, nothing blocks, and the next file is
// taken.
func TestHostileFiles(t *testing.T) {
	secret := func(t *testing.T) string {
		name := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(name, []byte(text("secret")), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, tt := range []struct {
		name   string
		make   func(t *testing.T, file string) error
		bad    bool
		reason string
	}{
		{"symlink", func(t *testing.T, file string) error { return os.Symlink(secret(t), file) }, true, "a symbolic link"},
		{"symlink to nothing", func(_ *testing.T, file string) error { return os.Symlink("nothing", file) }, true, "a symbolic link"},
		{"hard link", func(t *testing.T, file string) error { return os.Link(secret(t), file) }, true, "it has 2 names"},
		{"FIFO", func(_ *testing.T, file string) error { return syscall.Mkfifo(file, 0o600) }, true, "a FIFO"},
		{"device", func(t *testing.T, file string) error {
			if err := syscall.Mknod(file, syscall.S_IFCHR|0o600, 1<<8|5); err != nil {
				t.Skip(err)
			}
			return nil
		}, true, "a device"},
		{"socket", func(_ *testing.T, file string) error {
			fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer syscall.Close(fd)
			return syscall.Bind(fd, &syscall.SockaddrUnix{Name: file})
		}, true, "a socket"},
		{"directory", func(_ *testing.T, file string) error { return os.Mkdir(file, 0o700) }, false, ""},
		{"other owner", func(t *testing.T, file string) error {
			if err := os.WriteFile(file, []byte(text("other")), 0o600); err != nil {
				return err
			}
			if err := os.Chown(file, 12345, 12345); err != nil {
				t.Skip(err)
			}
			return nil
		}, true, "the user with the number 12345"},
		{"not readable", func(t *testing.T, file string) error {
			if os.Geteuid() == 0 {
				t.Skip("root may read everything")
			}
			return os.WriteFile(file, []byte(text("closed")), 0)
		}, true, "it may not be read"},
		{"10 GB", func(_ *testing.T, file string) error {
			if err := os.WriteFile(file, []byte(text("large")), 0o600); err != nil {
				return err
			}
			return os.Truncate(file, 10<<30)
		}, true, "it has 10737418240 bytes"},
		{"49 MB in one line", func(_ *testing.T, file string) error {
			return os.WriteFile(file, []byte(strings.Repeat("x", 49<<20)), 0o600)
		}, true, "its header"},
		{"empty", func(_ *testing.T, file string) error { return os.WriteFile(file, nil, 0o600) }, true, "header"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, nil)
			if err := tt.make(t, filepath.Join(y.dir, "evil.sub")); err != nil {
				t.Fatal(err)
			}
			y.run()
			y.drop("good.sub", text("good"))
			until(t, "the good one is taken", func() bool { return y.into.count() == 1 })
			if !tt.bad {
				y.untilNames("evil.sub")
				until(t, "the log says so", func() bool { return y.log.has("it is left alone") })
			} else {
				y.untilNames("evil.bad", "evil.bad.reason")
				file := filepath.Join(y.dir, "evil.bad.reason") // it is made, and then written
				until(t, "the reason is written", func() bool { is, err := os.Stat(file); return err == nil && is.Size() > 0 })
				why, err := os.ReadFile(file)
				if err != nil || !strings.Contains(string(why), tt.reason) || !y.log.has("evil.sub is no message") {
					t.Errorf("reason %q, %v; want %q, and the log to say it", why, err, tt.reason)
				}
				if n := y.st.Counter("numBadSubmittedFiles").Value(); n != 1 {
					t.Errorf("%d are counted as bad, want 1", n)
				}
			}
			y.stop()
			if got := y.into.subjects(); !slices.Equal(got, []string{"good"}) {
				t.Errorf("got %q, want the good one", got)
			}
		})
	}
}

// A name that is taken already is not taken from its file.
func TestBadFilesTakeNobodysPlace(t *testing.T) {
	y := newYard(t, nil)
	y.write("x.bad", "precious")
	y.run()
	y.drop("x.sub", "garbage")
	until(t, "it is bad", func() bool { return len(y.names()) == 3 })
	if b, err := os.ReadFile(filepath.Join(y.dir, "x.bad")); string(b) != "precious" {
		t.Errorf("x.bad is %q, %v", b, err)
	}
}

// A file that somebody has open for writing is taken when that is over.
func TestWritersAreWaitedFor(t *testing.T) {
	t.Parallel()
	y := newYard(t, nil)
	f, err := os.Create(filepath.Join(y.dir, "slow.sub"))
	if err != nil {
		t.Fatal(err)
	}
	y.run()
	fmt.Fprint(f, "To: bob@b.example\nSubject: slow\n")
	y.drop("good.sub", text("good"))
	until(t, "the good one is taken", func() bool { return y.into.count() == 1 })
	fmt.Fprint(f, "\nlast line\n")
	f.Close()
	until(t, "the slow one is taken", func() bool { return y.into.count() == 2 })
	if got := y.into.texts[1]; !strings.HasSuffix(got, "last line\n") {
		t.Errorf("got %q, want all of it", got)
	}
}

// link and unlink are a rename, too.
func TestTwoNamesForAMoment(t *testing.T) {
	t.Parallel()
	y := newYard(t, nil)
	y.write("x.tmp", text("linked"))
	if err := os.Link(filepath.Join(y.dir, "x.tmp"), filepath.Join(y.dir, "x.sub")); err != nil {
		t.Fatal(err)
	}
	y.run()
	time.Sleep(100 * time.Millisecond)
	if err := os.Remove(filepath.Join(y.dir, "x.tmp")); err != nil {
		t.Fatal(err)
	}
	until(t, "it is taken", func() bool { return y.into.count() == 1 })
}

// What is changed or renamed while it is read is no half message: it is taken later, once.
func TestChangedWhileItIsRead(t *testing.T) {
	for name, change := range map[string]func(file string) error{
		"longer": func(file string) error {
			f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("more\n")
			return errors.Join(err, f.Close())
		},
		"shorter":  func(file string) error { return os.Truncate(file, 60) },
		"replaced": func(file string) error { return os.WriteFile(file, []byte(text("other")), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, nil)
			y.into.reading = sync.OnceFunc(func() {
				files, _ := filepath.Glob(filepath.Join(y.dir, "*"+taken))
				if len(files) != 1 {
					t.Errorf("taken: %q", files)
					return
				}
				if err := change(files[0]); err != nil {
					t.Error(err)
				}
			})
			y.drop("x.sub", text("first")+strings.Repeat("line\n", 100))
			y.run()
			until(t, "it is taken", func() bool { return y.into.count() == 1 })
			y.untilNames()
			if got := y.into.texts[0]; name == "longer" && !strings.HasSuffix(got, "more\n") || name == "replaced" && !strings.Contains(got, "other") {
				t.Errorf("got %q", got)
			}
		})
	}
	t.Run("renamed", func(t *testing.T) {
		y := newYard(t, nil)
		y.into.reading = sync.OnceFunc(func() {
			files, _ := filepath.Glob(filepath.Join(y.dir, "*"+taken))
			if err := os.Rename(files[0], filepath.Join(y.dir, "mine")); err != nil {
				t.Error(err)
			}
		})
		y.drop("x.sub", text("first"))
		y.run()
		until(t, "it is taken", func() bool { return y.into.count() == 1 })
		y.untilNames("mine")
	})
}

// The Queue Limit leaves files lying; they go when there is room.
func TestFullQueue(t *testing.T) {
	t.Parallel()
	y := newYard(t, nil)
	y.into.full = true
	y.run()
	y.drop("a.sub", text("a"))
	until(t, "the log says so", func() bool { return y.log.has("no mail is taken just now") })
	y.untilNames("a.sub")
	y.into.set(func(s *sink) { s.full = false })
	y.drop("b.sub", text("b"))
	until(t, "both are taken", func() bool { return y.into.count() == 2 })
	y.untilNames()
}

// What is refused for now is put back, and tried again.
func TestRefusedForNow(t *testing.T) {
	t.Parallel()
	y := newYard(t, nil)
	y.into.refusal = module.Reject(4, 7, 1, "the filter is down")
	y.run()
	for i := range 300 {
		y.drop(fmt.Sprint("x", i, sub), text(fmt.Sprint(i)))
	}
	until(t, "it is refused", func() bool { return y.log.has("the filter is down") })
	y.into.set(func(s *sink) { s.refusal = nil })
	until(t, "all are taken", func() bool { return y.into.count() == 300 })
	y.untilNames()
}

func TestRefusedForGood(t *testing.T) {
	t.Parallel()
	y := newYard(t, nil)
	y.into.refusal = module.Reject(5, 7, 1, "not from here")
	y.run()
	y.drop("x.sub", text("x"))
	y.untilNames("x.bad", "x.bad.reason")
	until(t, "the reason is written", func() bool {
		is, err := os.Stat(filepath.Join(y.dir, "x.bad.reason"))
		return err == nil && is.Size() > 0
	})
	if why, err := os.ReadFile(filepath.Join(y.dir, "x.bad.reason")); !strings.Contains(string(why), "5.7.1 not from here") {
		t.Errorf("reason %q, %v", why, err)
	}
}
