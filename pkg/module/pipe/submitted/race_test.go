//go:build race

package submitted

const racing = true
