package serverlog

import "log/slog"

// The chapter's log levels as slog levels. Failures, Problems, Low Level and All
// Info are the four that slog already names, so log.Error, Warn, Info and Debug
// write at 1, 3, 4 and 5; for the other two there is log.Log.
const (
	Crash   = slog.Level(12)  // 0 Crashes Only
	Failure = slog.LevelError // 1 Failures
	Major   = slog.Level(6)   // 2 Major & Failures
	Problem = slog.LevelWarn  // 3 Problems
	Low     = slog.LevelInfo  // 4 Low Level
	All     = slog.LevelDebug // 5 All Info
)
