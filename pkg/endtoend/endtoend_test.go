package endtoend

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"cgq/pkg/cli"
	"cgq/pkg/endtoend/program"
	"cgq/pkg/server"
)

// patience is how long a story waits for what has to happen, and pause how long it
// waits to look again.
const (
	patience = time.Minute
	pause    = 20 * time.Millisecond
)

// programs is the directory of cgq and cgqd.
var programs string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if programs, err = os.MkdirTemp("", "cgq-programs"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(programs)
	program.Contain(cli.Main, server.Main)
	if err := program.Build(programs, raceFlags...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func TestStories(t *testing.T) {
	commands := map[string]func(*testscript.TestScript, bool, []string){
		"need": need, "until": until, "status": status, "address": address,
		"site": on((*site).init), "at": on((*site).at), "set": on((*site).set), "port": on((*site).port), "dns": on((*site).dns),
		"daemon": on((*site).daemonDo), "memory": on((*site).memory), "cloexec": on((*site).cloexec),
		"empty": on((*site).empty), "files": on((*site).files), "maildir": on((*site).maildir),
		"report": report, "reported": reported, "talk": talk, "send": send, "text": text, "ends": ends, "clean": clean,
		"flood": on((*site).floodDo), "peer": on((*site).peerDo), "sink": on((*site).sinkDo), "screen": on((*site).screenDo),
		"postfix": on((*site).postfixDo),
	}
	testscript.Run(t, testscript.Params{Dir: "testdata", Setup: setup, Cmds: commands, Condition: condition})
}

// condition knows [root], who can be somebody else, [mounts], that he can have mounts of his
// own, [port25], at which the story can listen, and [keeps], that the file system keeps what
// was synced.
func condition(name string) (bool, error) {
	switch name {
	case "root":
		return asRoot(), nil
	case "mounts":
		return exec.Command("unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt").Run() == nil, nil
	case "keeps":
		kind, err := kindOf("/tmp")
		return kind.Keeps, err
	case "port25":
		l, err := net.Listen("tcp", "127.255.0.1:25")
		if err != nil {
			return false, nil //nolint:nilerr // that is the answer
		}
		return true, l.Close()
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

func setup(env *testscript.Env) error {
	// Short: the path of a socket has 107 bytes at most.
	base, err := os.MkdirTemp("/tmp", "cgq")
	if err != nil {
		return err
	}
	kind, err := kindOf(base)
	if err != nil {
		return err
	}
	s := &site{t: env.T(), base: base, keeps: kind.Keeps, peers: map[string]*peer{}, places: map[string]*place{}}
	env.Values[siteKey{}] = s
	env.Defer(s.close)
	env.Setenv("CGQ_BASE", base)
	env.Setenv("NET", fmt.Sprintf("127.%d.%d", 1+os.Getpid()>>8%250, os.Getpid()%256)) // of this run alone
	env.Setenv("FILES", cmp.Or(os.Getenv("CGQ_TEST_FILES"), "3000"))                   // in Submitted/
	repo, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	env.Setenv("REPO", repo)
	env.Setenv("GORACE", "halt_on_error=1 atexit_sleep_ms=0")
	env.Setenv("PATH", strings.Join([]string{programs, os.Getenv("PATH"), "/usr/sbin"}, string(filepath.ListSeparator)))
	return nil
}

type siteKey struct{}

func siteOf(ts *testscript.TestScript) *site { return ts.Value(siteKey{}).(*site) }

// on makes a command of a method that knows no negation.
func on(do func(*site, *testscript.TestScript, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("unsupported: !")
		}
		do(siteOf(ts), ts, args)
	}
}

// wait looks until done, and fails when that takes too long: with what done said last.
func wait(ts *testscript.TestScript, done func() (ok bool, said string)) {
	if err := program.Wait(patience, pause, done); err != nil {
		ts.Fatalf("%v", err)
	}
}

// packages has the Debian packages of the tools.
var packages = map[string]string{"smtp-source": "postfix", "smtp-sink": "postfix", "php": "php-cli", "setpriv": "util-linux",
	"git-send-email": "git-email libmailtools-perl", "/usr/share/bash-completion/bash_completion": "bash-completion"}

func need(ts *testscript.TestScript, _ bool, tools []string) {
	dirs := append(filepath.SplitList(ts.Getenv("PATH")), "/usr/lib/git-core")
	for _, tool := range tools {
		if slices.ContainsFunc(dirs, func(dir string) bool {
			path := tool
			if !filepath.IsAbs(tool) {
				path = filepath.Join(dir, tool)
			}
			is, err := os.Stat(path)
			return err == nil && !is.IsDir()
		}) {
			continue
		}
		from := packages[tool]
		if from == "" {
			from = tool
		}
		text := tool + " is missing; to play this story: apt-get install " + from
		if os.Getenv("CGQ_TEST_TOOLS") == "required" {
			ts.Fatalf("%s", text)
		}
		siteOf(ts).t.Skip(text)
	}
}
