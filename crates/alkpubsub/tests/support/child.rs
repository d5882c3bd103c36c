//! Children of the tests: this very test program once more, in a role.

use std::fs::File;
use std::process::Command;

const ROLE: &str = "ALKPUBSUB_TEST_ROLE";

/// This test program as a child that runs its ignored test `child`.
pub(crate) fn command(role: &str) -> Command {
    // The test harness prints on standard output, which is the link's: it gets standard error, and the test puts back
    // what it finds as descriptor 3.
    let mut command = Command::new("sh");
    let script = r#"exec 3>&1 1>&2; exec "$0" --ignored --exact child --nocapture --quiet"#;
    command.args(["-c", script]).arg(std::env::current_exe().expect("a program")).env(ROLE, role);
    command
}

/// A shell as a child.
#[allow(dead_code, reason = "each test file uses its part")]
pub(crate) fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// In the child: the role, when standard output is the link's again. `None` where it is no child.
pub(crate) fn role() -> Option<String> {
    let role = std::env::var(ROLE).ok()?;
    let link = File::options().write(true).open("/dev/fd/3").expect("a link");
    rustix::stdio::dup2_stdout(link).expect("a standard output");
    Some(role)
}
