package admin

import (
	"context"
	"io"

	"cgq/pkg/control"
)

func (s *Server) queueBackup(ctx context.Context, who control.Actor, _ control.Nothing, w io.Writer) (control.Backup, error) {
	if err := s.whole(ctx); err != nil {
		return control.Backup{}, err
	}
	sent := &sentBytes{w: w}
	a, err := s.Backup(ctx, sent)
	if err != nil { // he has what was sent
		s.note(ctx, who, "a backup of the queue by "+who.Name+" came to no end: "+err.Error(), "bytes", sent.n)
		return control.Backup{}, err
	}
	s.note(ctx, who, "the queue was backed up by "+who.Name, "messages", a.Messages, "left", a.Left, "damaged", a.Damaged, "bytes", a.Bytes)
	return control.Backup{Messages: a.Messages, Left: a.Left, Damaged: a.Damaged, Bytes: a.Bytes}, nil
}

// sentBytes counts what is written.
type sentBytes struct {
	w io.Writer
	n int64
}

func (s *sentBytes) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.n += int64(n)
	return n, err
}
