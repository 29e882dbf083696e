package admin

import (
	"context"
	"io"

	"cgq/pkg/control"
	"cgq/pkg/serverlog"
)

func (s *Server) queueBackup(ctx context.Context, who control.Actor, _ control.Nothing, w io.Writer) (control.Backup, error) {
	if err := s.whole(ctx); err != nil {
		return control.Backup{}, err
	}
	a, err := s.Backup(ctx, w)
	if err != nil {
		return control.Backup{}, err
	}
	s.Log.Logger("ADMIN").Log(ctx, serverlog.Major, "the queue was backed up", "by", who.Name, "messages", a.Messages,
		"left", a.Left, "damaged", a.Damaged, "bytes", a.Bytes)
	return control.Backup{Messages: a.Messages, Left: a.Left, Damaged: a.Damaged, Bytes: a.Bytes}, nil
}
