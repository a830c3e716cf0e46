package testserver

import (
	"os"
	"os/exec"
)

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
