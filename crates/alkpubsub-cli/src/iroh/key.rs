//! Secret keys, and the files they lie in.

use crate::failure::Failure;
use ::iroh::SecretKey;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

/// More than any key is long.
const LONGEST: u64 = 4096;

/// The id of the key in this file, which is made if there is none.
pub(crate) fn id(file: &Path) -> Result<String, Failure> {
    let (key, _) = read(file)?;
    Ok(key.public().to_string())
}

/// A key that is this program's alone, as a relay passes what comes to the last that has shown it. Its file is held on to.
pub(super) struct Key {
    pub(super) secret: SecretKey,
    _file: Option<File>,
}

impl Key {
    /// The one in this file, or one for this time alone.
    pub(super) fn take(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self { secret: SecretKey::generate(), _file: None });
        };
        let (secret, file) = read(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Failure::connection(format!(
                "the key {}: another program is using it, and each needs one of its own",
                path.display()
            ))),
            // Not every file can be locked.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { secret, _file: Some(file) }),
        }
    }
}

fn read(path: &Path) -> Result<(SecretKey, File), Failure> {
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
    (&file).take(LONGEST).read_to_string(&mut text).map_err(|_| wrong(&none))?;
    let key = text.trim().parse().map_err(|_| wrong(&none))?;
    Ok((key, file))
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
