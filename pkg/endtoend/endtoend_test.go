// Package endtoend plays stories against cgqd and cgq as they are built: each file
// in testdata is one behaviour, its first line says which. Nothing of the programs
// is known here but what a user has: their arguments, output, files and SMTP. The
// peers are swaks, Postfix's smtp-source and smtp-sink, and for what those cannot
// say or count an SMTP client and a server of our own.
//
// A story whose tools are missing is skipped, unless CGQ_TEST_TOOLS=required is in
// the environment: then it fails.
//
// The commands of a story, beside those of testscript (! negates where it says so):
//
//	need TOOL...               skips the story where a tool is missing
//	site                       makes $CGQ_BASE: domain example.org, relay $RELAY, where nobody listens yet
//	set FILE KEY VALUE         changes a setting in Settings/FILE.toml
//	daemon start|stop          starts cgqd, which sets $SMTP and $PID; SIGTERM, which has to end with status 0
//	daemon term|ended          the two halves of stop
//	daemon kill|hangup         kill -9; SIGHUP
//	port VAR                   sets VAR to an address where nobody listens
//	address VAR                sets VAR to an address of this machine that is not loopback, or skips the story
//	[!] until REGEXP CMD...    runs a program again and again until its output matches (matches no more)
//	status N CMD...            runs a program that has to exit with status N
//	empty                      waits until no message is in the queue and no message file left
//	files N                    waits until the Queue has N message files
//	maildir ACCOUNT N          waits for the N messages of an account, which become ACCOUNT/1.eml and so on
//	report FILE                prints an RFC 3464 report, parsed
//	talk FILE                  plays an SMTP session, in which a line may have Go's escapes; prints the replies
//	send FROM TO FILE          submits a file as it is; prints the last reply
//	flood start N SESSIONS     submits N messages to x@remote.test, in the background, each with a token
//	flood acked N              waits until N are acknowledged
//	flood end FILE             waits for the sessions to end; the acknowledged tokens are then in FILE
//	peer start NAME ADDR RULE...   an SMTP server; RULE is 'REGEXP => REPLY' for a command, or 'REGEXP => hold'
//	peer waits|go NAME         waits until a command is held; lets it and all others go on
//	peer got NAME N            waits for N messages, which become NAME/1.eml and so on, behind their envelope
//	peer has NAME FILE         every token in FILE has arrived; prints the counts
//	peer stop NAME
//	sink start ADDR FLAG...    smtp-sink
//	sink count N               waits until it counts N messages
//	sink stop
package endtoend

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	_ "cgq/pkg/cli"    // go test keeps results until something that is imported changes:
	_ "cgq/pkg/server" // with these that is anything in the programs
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
	args := append(append([]string{"build"}, raceFlags...), "-buildvcs=false", "-o", programs, "cgq/cmd/cgq", "cgq/cmd/cgqd")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go %s: %v\n%s", strings.Join(args, " "), err, out)
		return 1
	}
	return m.Run()
}

func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", Setup: setup, Cmds: map[string]func(*testscript.TestScript, bool, []string){
		"need": need, "site": on((*site).init), "set": on((*site).set), "daemon": on((*site).daemonDo), "port": on((*site).port),
		"address": address, "until": until, "status": status, "empty": on((*site).empty), "files": on((*site).files),
		"maildir": on((*site).maildir), "report": report, "talk": talk, "send": send,
		"flood": on((*site).floodDo), "peer": on((*site).peerDo), "sink": on((*site).sinkDo),
	}})
}

func setup(env *testscript.Env) error {
	// Short: the path of a socket has 107 bytes at most.
	base, err := os.MkdirTemp("/tmp", "cgq")
	if err != nil {
		return err
	}
	s := &site{t: env.T(), base: base, peers: map[string]*peer{}}
	env.Values[siteKey{}] = s
	env.Defer(s.close)
	env.Setenv("CGQ_BASE", base)
	env.Setenv("GORACE", "halt_on_error=1")
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
	began := time.Now()
	for {
		ok, said := done()
		switch {
		case ok:
			return
		case time.Since(began) > patience:
			ts.Fatalf("not after %v: %s", patience, said)
		}
		time.Sleep(pause)
	}
}

// packages has the Debian packages of the tools.
var packages = map[string]string{"smtp-source": "postfix", "smtp-sink": "postfix"}

func need(ts *testscript.TestScript, _ bool, tools []string) {
	dirs := filepath.SplitList(ts.Getenv("PATH"))
	for _, tool := range tools {
		if slices.ContainsFunc(dirs, func(dir string) bool {
			_, err := exec.LookPath(filepath.Join(dir, tool))
			return err == nil
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
