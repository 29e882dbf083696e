package cli

import "cgq/pkg/cli/screen"

// What strangers wrote goes through one of these on its way to a person.
func safe(s string) string     { return screen.Safe(s) }
func unsafe(r rune) bool       { return screen.Unsafe(r) }
func safeJSON(b []byte) []byte { return screen.SafeJSON(b) }
