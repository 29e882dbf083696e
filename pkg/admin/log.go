package admin

import (
	"context"
	"iter"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/mail"
	"cgq/pkg/serverlog"
)

// Logs are the supplementary logs, for those who read them.
type Logs struct {
	EMails, Audit *serverlog.Log
}

// tail serves the lines of a log.
func tail(log *serverlog.Log) control.StreamFunc[control.LogQuery, control.LogLine] {
	return func(ctx context.Context, _ control.Actor, in control.LogQuery) iter.Seq2[control.LogLine, error] {
		return func(yield func(control.LogLine, error) bool) {
			for l, err := range log.Tail(ctx, query(in)) {
				if err != nil {
					yield(control.LogLine{}, err)
					return
				}
				row := control.LogLine{Time: l.Time, Level: serverlog.LevelDigit(l.Level), Tag: l.Component(), ID: mail.ID(l.ID), Line: l.String()}
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// query is what a request asks of a log.
func query(in control.LogQuery) serverlog.Query {
	q := serverlog.Query{Last: in.Lines, Since: in.Since, Follow: in.Follow, ID: uint64(in.Message)}
	for _, tag := range in.Tags {
		q.Components = append(q.Components, strings.ToUpper(tag))
	}
	if in.Level != nil {
		level, _ := serverlog.ParseLevel(strconv.Itoa(*in.Level)) // its range is checked
		q.Level = level
	}
	return q
}

func (s *Server) logLevels(context.Context, control.Actor, control.Nothing) iter.Seq2[control.LogLevel, error] {
	return func(yield func(control.LogLevel, error) bool) {
		for _, set := range s.Log.Levels() {
			if !yield(logLevel(set), nil) {
				return
			}
		}
	}
}

func logLevel(set serverlog.Setting) control.LogLevel {
	return control.LogLevel{Tag: set.Tag, Level: serverlog.LevelDigit(set.Level), Name: serverlog.LevelName(set.Level),
		Settings: serverlog.LevelDigit(set.Settings), ByHand: set.ByHand, Until: set.Until}
}

// level is that of a component that writes to the Server Log.
func (s *Server) level(tag string) (serverlog.Setting, bool) {
	for _, set := range s.Log.Levels() {
		if strings.EqualFold(set.Tag, tag) {
			return set, true
		}
	}
	return serverlog.Setting{}, false
}

func (s *Server) logLevelSet(ctx context.Context, who control.Actor, in control.LogLevelOrder) (control.LogLevel, error) {
	was, ok := s.level(in.Tag)
	if !ok {
		return control.LogLevel{}, control.Errorf(control.KindNoSuchTag, "cgq log level shows all", "no component %q writes to the Server Log", in.Tag)
	}
	if in.Reset {
		s.Log.ResetLevel(was.Tag)
	} else {
		level, _ := serverlog.ParseLevel(strconv.Itoa(in.Level)) // its range is checked
		s.Log.SetLevel(was.Tag, level, in.For.Duration(), func() { s.levelEnded(was.Tag, who.Name) })
	}
	is, _ := s.level(was.Tag)
	with := []any{"was", serverlog.LevelDigit(was.Level)}
	if !is.Until.IsZero() {
		with = append(with, "until", is.Until.Format(time.RFC3339))
	}
	s.note(ctx, who, "log level of "+is.Tag+" set to "+strconv.Itoa(serverlog.LevelDigit(is.Level))+" by "+who.Name, with...)
	return logLevel(is), nil
}

// levelEnded says that a level that was set for a time is over.
func (s *Server) levelEnded(tag, by string) {
	is, _ := s.level(tag)
	s.Log.Logger("ADMIN").Log(context.Background(), serverlog.Major,
		"log level of "+tag+" back at "+strconv.Itoa(serverlog.LevelDigit(is.Level)), "set_by", by)
}

// note tells the Audit log, and the Server Log, of what is no act on the Queue.
func (s *Server) note(ctx context.Context, who control.Actor, line string, with ...any) {
	with = append([]any{"uid", who.UID, "pid", who.PID}, with...)
	for _, log := range []*slog.Logger{s.Audit, s.Log.Logger("ADMIN")} {
		log.Log(ctx, serverlog.Major, line, with...)
	}
}
