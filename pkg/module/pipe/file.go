package pipe

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// A setupError is what an administrator has to mend before a program can be started.
type setupError struct {
	path string // for the log; strangers are not told
	why  string
}

func (e *setupError) Error() string { return "cannot start " + e.path + ": " + e.why }

// find returns the file of a program, which is one that only root and we can have put there.
func find(dir, name string) (path string, err error) {
	path = filepath.Join(dir, name)
	wrong := func(why string) (string, error) { return "", &setupError{path, why} }
	top, err := os.Stat(dir)
	if err != nil {
		return wrong("the directory of programs: " + reason(err))
	}
	if !top.IsDir() || !ours(top) {
		return wrong("the directory of programs belongs to somebody else, or others can write to it")
	}
	realDir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return wrong("the directory of programs: " + reason(err))
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return wrong(reason(err))
	}
	if filepath.Dir(real) != realDir {
		return wrong("it is a symbolic link that leads out of the directory of programs")
	}
	file, err := os.Lstat(real)
	switch {
	case err != nil:
		return wrong(reason(err))
	case !file.Mode().IsRegular():
		return wrong("it is not a regular file")
	case file.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0:
		return wrong("it is set-user-ID or set-group-ID, so it could not be killed") // kill(2): EPERM
	case file.Mode()&0o111 == 0:
		return wrong("it is not executable")
	case !ours(file):
		return wrong("it belongs to somebody else, or others can write to it")
	}
	return path, nil
}

// ours says whether only root and we can change a file.
func ours(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (st.Uid == 0 || int(st.Uid) == os.Geteuid()) && info.Mode().Perm()&0o022 == 0
}

// reason is what is wrong, without the names of files, which strangers are not told.
func reason(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return "it cannot be looked at"
}

// startError is an error of program.Run. What the file itself is to blame for is a *setupError:
// it has no interpreter, or one that is not there; who runs it may not.
func startError(path string, err error) error {
	for _, number := range []syscall.Errno{syscall.ENOENT, syscall.EACCES, syscall.EPERM, syscall.ENOEXEC, syscall.ENOTDIR, syscall.ELOOP} {
		if errors.Is(err, number) {
			return &setupError{path, number.Error()}
		}
	}
	return err
}
