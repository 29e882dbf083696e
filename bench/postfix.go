package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"cgq/bench/rig"
)

// postfix is a private instance of the installed Postfix: its own configuration, queue,
// data and log. An instance that the machine may have is not touched.
type postfix struct{ version, master string }

func newPostfix(ctx context.Context) (p postfix, err error) {
	if os.Getuid() != 0 {
		return p, errors.New("postfix can be started by root only; leave it out with -contestants floor,cgqd")
	}
	for name, to := range map[string]*string{"mail_version": &p.version, "daemon_directory": &p.master} {
		// -d: the built-in value; there may be no main.cf.
		out, err := exec.CommandContext(ctx, "postconf", "-dh", name).Output()
		if err != nil {
			return p, fmt.Errorf("postconf %s: %w; Debian has it in: apt-get install postfix", name, err)
		}
		*to = strings.TrimSpace(string(out))
	}
	p.master = filepath.Join(p.master, "master")
	return p, nil
}

// postfixSettings are those that make it as fast as it can be while it keeps its promise:
// limits lifted, no delays, nothing looked up in the DNS, no TLS, no tables.
var postfixSettings = []string{
	"compatibility_level = 3.6",
	"myhostname = bench.test",
	"mydestination =",
	"alias_maps =",
	"local_recipient_maps =",
	"mynetworks = 127.0.0.0/8",
	"inet_interfaces = 127.0.0.1",
	"inet_protocols = ipv4",
	"default_process_limit = 200",
	"in_flow_delay = 0",
	"smtpd_peername_lookup = no",
	"smtpd_client_connection_count_limit = 0",
	"smtpd_client_connection_rate_limit = 0",
	"smtpd_client_message_rate_limit = 0",
	"smtpd_client_recipient_rate_limit = 0",
	"smtpd_client_event_limit_exceptions = static:all",
	"smtpd_relay_restrictions = permit_mynetworks, reject",
	"smtpd_recipient_restrictions =",
	"smtpd_tls_security_level = none",
	"smtp_tls_security_level = none",
	"smtp_dns_support_level = disabled",
	"initial_destination_concurrency = 20",
	"default_destination_concurrency_limit = 20",
}

// postfixHold keeps what is accepted: it goes into the hold queue, which costs Postfix
// less than any other way not to deliver.
const postfixHold = "smtpd_client_restrictions = static:HOLD"

// postfixHoldLocal does that with mail of programs, which no smtpd sees.
const postfixHoldLocal = "header_checks = static:HOLD"

// postfixServices is master.cf without what no message of ours touches; nothing in a chroot.
const postfixServices = `
127.0.0.1:%d inet n - n - - smtpd
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
proxywrite unix - - n - 1 proxymap
smtp       unix - - n - - smtp
relay      unix - - n - - smtp
showq      unix n - n - - showq
error      unix - - n - - error
retry      unix - - n - - error
local      unix - n n - - local
anvil      unix - - n - 1 anvil
scache     unix - - n - 1 scache
postlog    unix-dgram n - n - 1 postlogd
`

func (p postfix) about() about {
	return about{"postfix", p.version, append(postfixSettings[:len(postfixSettings):len(postfixSettings)],
		"relayhost = [127.0.0.1]:the sink; to measure acceptance instead: "+postfixHold+"; of mail of programs: "+postfixHoldLocal)}
}

func (postfix) conf(in place) string  { return filepath.Join(in.dir, "conf") }
func (postfix) queue(in place) string { return filepath.Join(in.dir, "queue") }

// configure implements mailer.
func (p postfix) configure(ctx context.Context, in place) error {
	conf := p.conf(in)
	if err := p.write(in, conf, p.queue(in)); err != nil {
		return err
	}
	// check makes the directories of the queue.
	if out, err := exec.CommandContext(ctx, "postfix", "-c", conf, "check").CombinedOutput(); err != nil {
		return fmt.Errorf("postfix check: %w: %s", rig.Cause(ctx, err), bytes.TrimSpace(out))
	}
	return nil
}

func (p postfix) start(ctx context.Context, in place) (*server, error) {
	conf, queue := p.conf(in), p.queue(in)
	if _, err := os.Stat(conf); err != nil {
		if err := p.configure(ctx, in); err != nil {
			return nil, err
		}
	}
	s, err := launch(ctx, in, exec.Command(p.master, "-c", conf, "-d"))
	if err != nil {
		return nil, err
	}
	s.queued = func(context.Context) (int, error) { return countFiles(queue) }
	return s, nil
}

func (p postfix) write(in place, conf, queue string) error {
	owner, err := user.Lookup("postfix")
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return err
	}
	data := filepath.Join(in.dir, "data")
	for _, dir := range []string{conf, queue, data} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.Chown(data, uid, -1); err != nil {
		return err
	}
	lines := append([]string{
		"queue_directory = " + queue,
		"data_directory = " + data,
		"maillog_file = " + filepath.Join(in.dir, "mail.log"),
		"maillog_file_prefixes = " + in.dir,
	}, postfixSettings...)
	switch {
	case in.relay:
		lines = append(lines, fmt.Sprintf("relayhost = [127.0.0.1]:%d", in.next))
	case in.local:
		lines = append(lines, postfixHoldLocal)
	default:
		lines = append(lines, postfixHold)
	}
	main := strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(conf, "main.cf"), []byte(main), 0o644); err != nil {
		return err
	}
	services := fmt.Sprintf(postfixServices, in.port)
	return os.WriteFile(filepath.Join(conf, "master.cf"), []byte(services), 0o644)
}

// countFiles counts the messages in a Postfix queue directory.
func countFiles(queue string) (n int, err error) {
	for _, dir := range []string{"maildrop", "incoming", "active", "deferred", "hold", "corrupt"} {
		if err := walkFiles(filepath.Join(queue, dir), func() { n++ }); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// walkFiles calls found for each file in a directory, and below it.
func walkFiles(dir string, found func()) error {
	return filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has gone on while we looked
		}
		if err == nil && d.Type().IsRegular() {
			found()
		}
		return err
	})
}
