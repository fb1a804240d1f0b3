//! The end of a server when the program ends, however it ends.
//!
//! A small shell waits until its standard input is closed: by the drop of the keeper, or by the
//! system when the program is gone. Then it ends the server, frees its shared memory and removes its
//! directory. (Killed with the program, as a broker is, a server would leave both: a killed server
//! does not free its memory, and a static value is not dropped.)

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Parameter: the directory. The first line of `postmaster.pid` is the process; the second number of
/// the seventh names the shared memory. A signal waits in a paused process, so it is resumed. A
/// server that was killed has no process of this number any more; another program that has it would
/// not be called `postgres`.
const SCRIPT: &str = r#"
trap '' INT HUP TERM QUIT
cat >/dev/null
file=$1/data/postmaster.pid
if [ -f "$file" ]; then
    pid=$(sed -n 1p "$file")
    memory=$(sed -n '7s/^ *[0-9]* *//p' "$file")
    is_there() {
        { read -r _ name state _ <"/proc/$pid/stat"; } 2>/dev/null && [ "$name" = '(postgres)' ] && [ "$state" != Z ]
    }
    if is_there; then
        children=
        for stat in /proc/[0-9]*/stat; do
            { read -r child _ _ parent _ <"$stat"; } 2>/dev/null && [ "$parent" = "$pid" ] && children="$children $child"
        done
        kill -QUIT "$pid"
        kill -CONT "$pid" $children
        tries=0
        while is_there && [ $tries -lt 200 ]; do
            sleep 0.05
            tries=$((tries + 1))
        done
        if is_there; then kill -KILL "$pid" $children; fi
    fi
    if [ -f "$file" ] && [ -n "$memory" ]; then ipcrm -m "$memory"; fi
fi
rm -rf -- "$1"
"#;

/// Ends the server of a directory, and removes the directory, on drop or when the program ends.
#[derive(Debug)]
pub(super) struct Keeper(Child);

impl Keeper {
    pub(super) fn of(directory: &Path) -> io::Result<Self> {
        let child = Command::new("sh")
            .args(["-c", SCRIPT, "keeper"])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            // A Ctrl-C at the terminal ends the program, and it must outlive that.
            .process_group(0)
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
