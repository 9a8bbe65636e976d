//! Folders of servers that a whole test binary shares: such a value is never dropped, so a small process
//! waits for the end of the test binary, then ends the server and removes the folder.

use crate::temp_dir;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

pub struct Folder {
    pub path: PathBuf,
    janitor: Child,
}

impl Folder {
    pub fn new() -> Folder {
        let path = temp_dir().keep();
        let script = "cat >/dev/null; kill -9 $(cat \"$0/pid\") 2>/dev/null; sleep 0.2; rm -rf \"$0\"";
        let janitor = Command::new("sh")
            .args(["-c", script])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Folder { path, janitor }
    }

    /// Says which process uses the folder.
    pub fn used_by(&self, child: &Child) {
        fs::write(self.path.join("pid"), child.id().to_string()).expect("a file in our own folder");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The end of its input tells the janitor to clean.
        drop(self.janitor.stdin.take());
        let _ = self.janitor.wait();
    }
}
