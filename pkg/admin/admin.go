// Package admin serves the requests of the control protocol on the kernel, the
// directory, the log and the statistics. It keeps nothing of its own, but for a minute the
// number of refusals.
package admin

import (
	"context"
	"io"
	"log/slog"
	"os"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/directory"
	"cgq/pkg/fact"
	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/router"
	"cgq/pkg/serverlog"
	"cgq/pkg/spool"
	"cgq/pkg/stats"
)

// A Server is what the requests are about.
type Server struct {
	Kernel    *kernel.Kernel
	Directory *directory.Directory
	Log       *serverlog.Log
	Logs      Logs
	Audit     *slog.Logger // tag AUDIT: a record an act
	Stats     *stats.Set
	Open      func(mail.ID) (io.ReadSeekCloser, error) // the text of a message
	Facts     func(mail.ID) ([]fact.Fact, error)       // what has happened to it
	Route     kernel.Where
	Router    *router.Router
	Pace      func() kernel.Pace
	Backup    func(context.Context, io.Writer) (spool.Archived, error)
	Listeners func() []control.Listener
	Read      <-chan struct{} // closed when a start has read the Queue, or was stopped
	Unread    func() int      // messages that it has not read yet
	Base      string          // absolute
	Version   string
	Domain    func() string // the main domain
	Ready     time.Time
	State     func() string // running, stopping
	Health    func() Health
	Rules     Rules
	Settings  Settings
	Class     func(text string) string // why what has this error waits, in a word
	Access    Access

	refusals refusals
}

// Mux returns what serves all requests; faults go to log.
func (s *Server) Mux(log *slog.Logger) *control.Mux {
	m := &control.Mux{Log: log, Grant: s.Access.Rights, Refused: s.Refused}
	control.HandleRows(m, control.QueueList, s.queueList)
	control.Handle(m, control.QueueShow, s.queueShow)
	control.HandleRows(m, control.QueueShape, s.queueShape)
	control.Handle(m, control.QueueExplain, s.queueExplain)
	control.Handle(m, control.QueueRelease, s.queueRelease)
	control.Handle(m, control.QueueReject, s.reject)
	control.HandleDownload(m, control.QueueBackup, s.queueBackup)
	control.HandleRows(m, control.MessageList, s.messageList)
	control.Handle(m, control.MessageShow, s.messageShow)
	control.HandleDownload(m, control.MessageContent, s.messageContent)
	control.HandleRows(m, control.MessageExport, s.messageExport)
	control.HandleRows(m, control.MessageTrace, s.messageTrace)
	control.Handle(m, control.MessageRelease, s.messageRelease)
	control.Handle(m, control.MessageReroute, s.messageReroute)
	control.Handle(m, control.MessageReject, s.reject)
	control.Handle(m, control.HoldAdd, s.holdAdd)
	control.HandleRows(m, control.HoldList, s.holdList)
	control.Handle(m, control.HoldRemove, s.holdRemove)
	control.HandleRows(m, control.TrashList, s.trashList)
	control.Handle(m, control.TrashRestore, s.trashRestore)
	control.Handle(m, control.TrashPurge, s.trashPurge)
	control.HandleRows(m, control.RulesList, s.rulesList)
	control.Handle(m, control.RulesShow, s.rulesShow)
	control.Handle(m, control.RulesTest, s.rulesTest)
	control.Handle(m, control.RulesImport, s.rulesImport)
	s.settingsMux(m)
	control.HandleLasting(m, control.LogTail, tail(s.Log))
	control.HandleLasting(m, control.LogEmails, tail(s.Logs.EMails))
	control.HandleLasting(m, control.LogAudit, tail(s.Logs.Audit))
	control.HandleRows(m, control.LogLevels, s.logLevels)
	control.Handle(m, control.LogLevelSet, s.logLevelSet)
	control.Handle(m, control.AccountCreate, s.accountCreate)
	control.HandleRows(m, control.AccountList, s.accountList)
	control.Handle(m, control.AccountDelete, s.accountDelete)
	control.Handle(m, control.Route, s.route)
	control.HandleRows(m, control.Stat, s.stat)
	control.HandleRows(m, control.Listeners, s.listeners)
	control.HandleRows(m, control.Check, s.check)
	control.Handle(m, control.Ping, s.ping)
	control.Handle(m, control.Whoami, s.whoami)
	return m
}

func (s *Server) ping(context.Context, control.Actor, control.Nothing) (control.Daemon, error) {
	return control.Daemon{Version: s.Version, PID: os.Getpid(), Base: s.Base,
		Uptime: control.Seconds(time.Since(s.Ready)), State: s.State(), Domain: s.Domain()}, nil
}
