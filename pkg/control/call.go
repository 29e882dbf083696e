// Package control is the protocol between cgq and cgqd: HTTP/1.1 with JSON over a
// Unix socket, under /v1/. Each request is declared once, as a [Call], a [Stream],
// a [Download] or an [Upload]; server, client, rights and documentation all read that value. A caller
// is who the operating system says (SO_PEERCRED), and may do what the rights of
// the chapter let him.
//
// What is promised: within v1 fields are only added. A client ignores fields that
// it does not know; the server refuses them, because a misspelt filter must not
// widen a reject. A [Kind] of error never changes its meaning. A stream is JSON
// lines, and the last one is {"end":{"rows":N}} or {"error":{…}}: a list without
// either was cut off, and the client says so. So it is with a download, whose end is
// in the trailer. An upload that is cut off is as if it had never been.
//
// It does not act on the queue, and writes no log but about its own faults.
package control

import (
	"context"
	"iter"
)

// A Call is a request with one answer.
type Call[In, Out any] struct {
	Path  string // below /v1/
	Right Right  // what the caller must have
	Doc   string // what is answered
}

// A Stream is a request whose answer is rows, sent as they are found. No row has
// a first field of the name "end" or "error".
type Stream[In, Row any] struct {
	Path  string // below /v1/
	Right Right  // what the caller must have
	Doc   string // what is answered
}

// A CallFunc serves a [Call]. It may answer with an *[Error]; any other error is a
// fault of ours. It is called from many goroutines; ctx ends when the caller leaves
// or the server stops.
type CallFunc[In, Out any] func(ctx context.Context, who Actor, in In) (Out, error)

// A StreamFunc serves a [Stream]. An error ends the rows; what was sent before it
// stays sent, and the caller learns that it is not all.
type StreamFunc[In, Row any] func(ctx context.Context, who Actor, in In) iter.Seq2[Row, error]
