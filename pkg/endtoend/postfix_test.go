package endtoend

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"cgq/pkg/endtoend/program"
)

// A postfix is a private instance of the installed Postfix, with its own settings,
// queue and log. Only root can start one. An instance that the machine may have is not
// touched.
type postfix struct {
	dir string
	cmd *exec.Cmd
}

// postfixSettings look nothing up and wait for nothing. A story adds to them.
var postfixSettings = []string{
	"compatibility_level = 3.6",
	"mydestination =",
	"alias_maps =",
	"mynetworks = 127.0.0.0/8",
	"inet_interfaces = 127.0.0.1",
	"inet_protocols = ipv4",
	"smtpd_peername_lookup = no",
	"smtpd_relay_restrictions = permit_mynetworks, reject",
	"smtpd_tls_security_level = none",
	"smtp_tls_security_level = none",
	"smtp_dns_support_level = disabled",
	"in_flow_delay = 0",
	"backwards_bounce_logfile_compatibility = no",
}

// postfixServices is master.cf; nothing in a chroot. To nosuchuser nothing can be delivered.
const postfixServices = `
%s inet n - n - - smtpd
pickup     unix n - n 60 1 pickup
cleanup    unix n - n - 0 cleanup
qmgr       unix n - n 300 1 qmgr
rewrite    unix - - n - - trivial-rewrite
bounce     unix - - n - 0 bounce
defer      unix - - n - 0 bounce
trace      unix - - n - 0 bounce
verify     unix - - n - 1 verify
flush      unix n - n 1000? 0 flush
proxymap   unix - - n - - proxymap
smtp       unix - - n - - smtp
showq      unix n - n - - showq
error      unix - - n - - error
retry      unix - - n - - error
virtual    unix - n n - - virtual
nosuchuser unix - n n - - pipe user=nobody argv=/bin/sh -c {exit 67}
anvil      unix - - n - 1 anvil
scache     unix - - n - 1 scache
postlog    unix-dgram n - n - 1 postlogd
`

func (s *site) postfixDo(ts *testscript.TestScript, args []string) {
	if len(args) == 0 || (s.postfix == nil) != (args[0] == "start") {
		ts.Fatalf("usage: postfix start ADDR FILE, once; then postfix empty|stop")
	}
	switch args[0] {
	case "start":
		if len(args) != 3 {
			ts.Fatalf("usage: postfix start ADDR FILE")
		}
		s.postfix = startPostfix(ts, args[1], os.Expand(ts.ReadFile(args[2]), ts.Getenv))
		ts.Setenv("POSTFIX", s.postfix.dir)
	case "empty":
		wait(ts, func() (bool, string) {
			names, err := s.postfix.messages()
			ts.Check(err)
			return len(names) == 0, fmt.Sprint("messages in Postfix: ", names)
		})
	case "stop":
		s.postfix.stop()
		s.postfix = nil
	default:
		ts.Fatalf("postfix %s: no such verb", args[0])
	}
}

// startPostfix starts one with additional settings, and waits until it listens.
func startPostfix(ts *testscript.TestScript, addr, settings string) *postfix {
	dir, err := os.MkdirTemp("/tmp", "cgq-postfix")
	ts.Check(err)
	p := &postfix{dir: dir}
	if err := p.start(ts, addr, settings); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "mail.log"))
		p.stop()
		ts.Fatalf("postfix: %v\n%s", err, log)
	}
	return p
}

func (p *postfix) start(ts *testscript.TestScript, addr, settings string) error {
	conf, err := p.configure(addr, settings)
	if err != nil {
		return err
	}
	// check makes the directories of the queue.
	if out, err := command(ts, "postfix", "-c", conf, "check").CombinedOutput(); err != nil {
		return fmt.Errorf("check: %w: %s", err, out)
	}
	// -d: the built-in value.
	daemons, err := command(ts, "postconf", "-dh", "daemon_directory").Output()
	if err != nil {
		return err
	}
	cmd := command(ts, filepath.Join(strings.TrimSpace(string(daemons)), "master"), "-c", conf, "-d")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // at its end it ends its group
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd = cmd
	return program.Wait(patience, pause, func() (bool, string) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false, err.Error()
		}
		return true, fmt.Sprint(conn.Close())
	})
}

// configure writes the settings, and makes the directories: mail is for mailboxes.
func (p *postfix) configure(addr, settings string) (conf string, err error) {
	owner, err := user.Lookup("postfix")
	if err != nil {
		return "", err
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return "", err
	}
	if err := os.Chmod(p.dir, 0o755); err != nil {
		return "", err
	}
	conf = filepath.Join(p.dir, "conf")
	queue, data, mail := filepath.Join(p.dir, "queue"), filepath.Join(p.dir, "data"), filepath.Join(p.dir, "mail")
	for _, dir := range []string{conf, queue, data, mail} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return "", err
		}
	}
	for _, dir := range []string{data, mail} {
		if err := os.Chown(dir, uid, -1); err != nil {
			return "", err
		}
	}
	lines := append([]string{
		"queue_directory = " + queue,
		"data_directory = " + data,
		"maillog_file = " + filepath.Join(p.dir, "mail.log"),
		"maillog_file_prefixes = " + p.dir,
		"virtual_mailbox_base = " + mail,
		"virtual_uid_maps = static:" + owner.Uid,
		"virtual_gid_maps = static:" + owner.Gid,
	}, postfixSettings...)
	main := strings.Join(lines, "\n") + "\n" + settings
	if err := os.WriteFile(filepath.Join(conf, "main.cf"), []byte(main), 0o644); err != nil {
		return "", err
	}
	services := fmt.Sprintf(postfixServices, addr)
	return conf, os.WriteFile(filepath.Join(conf, "master.cf"), []byte(services), 0o644)
}

// messages returns the files of the messages in its queue.
func (p *postfix) messages() (names []string, err error) {
	for _, dir := range []string{"maildrop", "incoming", "active", "deferred", "hold", "corrupt"} {
		err := filepath.WalkDir(filepath.Join(p.dir, "queue", dir), func(name string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it has gone on while we looked
			}
			if err == nil && d.Type().IsRegular() {
				names = append(names, name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return names, nil
}

// stop ends it with all its processes, and takes its directory away.
func (p *postfix) stop() {
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.cmd.Wait() // killed
	}
	os.RemoveAll(p.dir)
}
