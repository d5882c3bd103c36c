//! Secret keys, and the files they lie in.

use crate::failure::Failure;
use ::iroh::SecretKey;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// More than any key is long.
const LONGEST: u64 = 4096;

/// The id of the key in this file, which is made if there is none.
pub(crate) fn id(file: &Path) -> Result<String, Failure> {
    Ok(of_file(file)?.public().to_string())
}

/// The key in this file, or one for this time alone.
pub(super) fn read(file: Option<&Path>) -> Result<SecretKey, Failure> {
    file.map_or_else(|| Ok(SecretKey::generate()), of_file)
}

fn of_file(path: &Path) -> Result<SecretKey, Failure> {
    let wrong = |why: &dyn std::fmt::Display| Failure::input(format!("the key {}: {why}", path.display()));
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path).and_then(|()| File::open(path)).map_err(|error| wrong(&error))?
        }
        opened => opened.map_err(|error| wrong(&error))?,
    };
    if let Some(mode) = open_to_others(&file).map_err(|error| wrong(&error))? {
        return Err(wrong(&format!(
            "others may read it (its mode is {mode:o}); `chmod 600` takes that back"
        )));
    }
    let mut text = String::new();
    let none = "it holds no secret key, which is 64 hexadecimal digits";
    file.take(LONGEST).read_to_string(&mut text).map_err(|_| wrong(&none))?;
    text.trim().parse().map_err(|_| wrong(&none))
}

/// Writes a new key. Whoever finds the file finds a whole key in it, also when two make it at once: one of both is theirs.
fn make(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let draft = Path::new(&name);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let hexadecimal: String =
        SecretKey::generate().to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let written = options.open(draft).and_then(|mut file| {
        writeln!(file, "{hexadecimal}")?;
        file.sync_all()
    });
    let linked = written.and_then(|()| match fs::hard_link(draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let _ = fs::remove_file(draft);
    linked
}

/// The mode of a file, where it lets in more than its user.
#[cfg(unix)]
fn open_to_others(file: &File) -> io::Result<Option<u32>> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata()?.permissions()) & 0o777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

#[cfg(not(unix))]
fn open_to_others(_: &File) -> io::Result<Option<u32>> {
    Ok(None)
}
