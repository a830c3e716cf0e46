package testserver

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// dieWithParent has the kernel kill the program when the test process dies,
// by a panic or a timeout too, when no cleanup runs.
func dieWithParent(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGKILL
}

// killGroup kills the program and what it started in its process group.
func killGroup(p *os.Process) {
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL) // it may have ended by itself
}

// unprivileged has a program that refuses to run as root run as somebody else,
// to whom dir is given.
func unprivileged(cmd *exec.Cmd, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	somebody, err := user.Lookup("postgres")
	if err != nil {
		somebody, err = user.Lookup("nobody")
	}
	if err != nil {
		return err
	}
	uid, uidErr := strconv.ParseUint(somebody.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(somebody.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr, os.Chown(dir, int(uid), int(gid))); err != nil {
		return err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return nil
}

// enter, for sh, goes into the root directory $1, which has this machine's
// directory $2 under the same name, and becomes the program of the further
// arguments. The mounts are in a namespace that ends with it.
const enter = `
root=$1 shared=$2
shift 2
mkdir -p "$root$shared" &&
	mount --rbind "$shared" "$root$shared" &&
	mount --rbind /proc "$root/proc" &&
	mount --rbind /dev "$root/dev" || exit
exec chroot "$root" env --chdir="$PWD" "$@"`

// within has cmd run within the root directory root, where it sees this
// machine's temporary files. It takes the rights of root.
func within(cmd *exec.Cmd, root string) {
	changed := exec.Command("unshare", append([]string{"--mount", "sh", "-c", enter, "sh", root, os.TempDir()}, cmd.Args...)...)
	cmd.Path, cmd.Args, cmd.Err = changed.Path, changed.Args, changed.Err
}
