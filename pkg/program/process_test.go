package program

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// start starts what must not fail to start, without what is for Run.
func start(t *testing.T, ctx context.Context, c Command) *Process {
	t.Helper()
	c.Output = 0
	p, err := Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProcessAnswers(t *testing.T) {
	var said []string // appended to before Done
	c := helper(t, "lines")
	c.Stderr = func(line string) { said = append(said, line) }
	p := start(t, t.Context(), c)
	answers := bufio.NewReader(p.Stdout)
	for i := range 3 {
		if _, err := fmt.Fprintf(p.Stdin, "%d FILE x\n", i); err != nil {
			t.Fatal(err)
		}
		if got, err := answers.ReadString('\n'); got != fmt.Sprintf("re: %d FILE x\n", i) {
			t.Errorf("answer %d = %q, %v", i, got, err)
		}
	}
	select {
	case <-p.Done():
		t.Error("done; want it to run")
	default:
	}
	if p.Err() != nil {
		t.Errorf("Err = %v; want nil while it runs", p.Err())
	}
	if err := p.Stdin.Close(); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(answers); len(rest) > 0 || err != nil {
		t.Errorf("rest = %q, %v; want the end", rest, err)
	}
	<-p.Done()
	if p.Err() != nil {
		t.Errorf("Err = %v; want nil", p.Err())
	}
	want := []string{"3 lines", "", strings.Repeat("x", MaxLine), "last"}
	if !slices.Equal(said, want) {
		t.Errorf("stderr = %q; want %q", said, want)
	}
	if _, err := p.Stdin.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write = %v; want %v", err, os.ErrClosed)
	}
	p.Stop(0) // again and afterwards is nothing
}

// What it says last can be read after it has ended.
func TestProcessLeavesItsOutput(t *testing.T) {
	p := start(t, t.Context(), helper(t, "args", "a"))
	<-p.group.ended
	if got, err := io.ReadAll(p.Stdout); string(got) != `["a"]` || err != nil {
		t.Errorf("output = %q, %v", got, err)
	}
	<-p.Done()
}

func TestProcessFails(t *testing.T) {
	for _, tt := range []struct{ helper, arg, want string }{
		{"exit", "75", "temporary failure (exit status 75)"},
		{"signal", "9", "killed by SIGKILL"},
	} {
		c := helper(t, tt.helper, tt.arg)
		p := start(t, t.Context(), c)
		p.Stdout.Close()
		<-p.Done()
		if want := "program " + c.Path + ": run: " + tt.want; p.Err() == nil || p.Err().Error() != want {
			t.Errorf("Err = %v; want %s", p.Err(), want)
		}
	}
}

func TestStop(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		helper                []string
		up                    int // how many processes it has
		afterInput, afterTerm time.Duration
		said, want            string
	}{
		{"the end of input is enough", []string{"cat"}, 0, forever, forever, "", ""},
		{"SIGTERM is enough", []string{"hang", "polite"}, 1, time.Millisecond, forever, "bye", ""},
		{"deaf, and a child", []string{"brood", "stay"}, 2, time.Millisecond, time.Millisecond, "born", "SIGKILL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBeacon(t)
			p := start(t, t.Context(), helper(t, tt.helper[0], append(tt.helper[1:], b.path)...))
			if tt.up > 0 {
				b.up(t, tt.up)
			}
			var all sync.WaitGroup
			for range 2 { // by anybody, at any time
				all.Go(func() { p.stop(tt.afterInput, tt.afterTerm) })
			}
			if said, err := io.ReadAll(p.Stdout); string(said) != tt.said || err != nil {
				t.Errorf("output = %q, %v; want %q", said, err, tt.said)
			}
			all.Wait()
			if err := p.Err(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Err = %v; want %q", err, tt.want)
			}
			if tt.up > 0 {
				b.gone(t)
			}
		})
	}
}

func TestContextEndsAProcess(t *testing.T) {
	b := newBeacon(t)
	c := helper(t, "brood", "stay", b.path)
	c.Grace = time.Millisecond
	ctx, cancel := context.WithCancelCause(t.Context())
	p := start(t, ctx, c)
	b.up(t, 2)
	cancel(errStop)
	<-p.Done() // nobody reads: after Grace
	if !errors.Is(p.Err(), errStop) {
		t.Errorf("Err = %v; want %v", p.Err(), errStop)
	}
	b.gone(t)
}

// The program ends, a daemon keeps its output, and nobody reads: Done comes nevertheless.
func TestProcessLeavesADaemon(t *testing.T) {
	b := newBeacon(t)
	c := helper(t, "brood", "away", b.path)
	c.Grace = time.Millisecond
	p := start(t, t.Context(), c)
	<-p.Done()
	pid := b.up(t, 1)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("the daemon is gone: %v; want it to live", err)
	}
	b.gone(t)
	if _, err := p.Stdout.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read = %v; want %v", err, os.ErrClosed)
	}
}

func TestStartRefusesWhatIsForRun(t *testing.T) {
	c := helper(t, "cat")
	for _, c := range []Command{
		{Path: c.Path, Stdin: strings.NewReader("")},
		{Path: c.Path, Time: 1},
		{Path: c.Path, Output: 1},
	} {
		if p, err := Start(t.Context(), c); p != nil || err == nil {
			t.Errorf("Start(%+v) = %v, %v; want an error", c, p, err)
		}
	}
}

// The server is killed; its helper, which reads nothing, must not stay.
func TestProgramEndsWithTheServer(t *testing.T) {
	b := newBeacon(t)
	c := helper(t, "server", b.path)
	server := exec.Command(c.Path, c.Args...)
	server.Env = c.Env
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	b.up(t, 1)
	if err := server.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = server.Wait() // killed
	b.gone(t)
}
