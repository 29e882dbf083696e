package rig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Program returns the full path of a program in bin.
func Program(bin, name string) (string, error) {
	path, err := filepath.Abs(filepath.Join(bin, name))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s: not built; run make bench, or name its directory with -bin: %w", name, err)
	}
	return path, nil
}

// OwnVersion is the commit of the checkout that a measurement is run in, and that make
// has built all programs from.
func OwnVersion() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "commit unknown"
	}
	return "commit " + strings.TrimSpace(string(out))
}
