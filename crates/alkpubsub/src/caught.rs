//! What is the program's own may panic; here that ends.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls what is the program's own. A panic goes no further, and its message is given.
pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(message)
}

/// The message of what was thrown.
#[cold]
pub(crate) fn message(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    // What was thrown is the program's, too, and may panic when it is dropped. Whatever comes of that is never dropped.
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(another);
    }
    text.unwrap_or_else(|| "(no message)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::panic_any;

    /// Throws another one when it is dropped.
    struct Chain(u8);

    impl Drop for Chain {
        fn drop(&mut self) {
            if self.0 > 0 {
                panic_any(Self(self.0 - 1));
            }
        }
    }

    #[test]
    fn messages_are_given_and_nothing_goes_further() {
        assert_eq!(caught(|| 1), Ok(1));
        assert_eq!(caught(|| panic!("plain")), Err::<(), _>("plain".into()));
        assert_eq!(caught(|| panic!("of {}", 1)), Err::<(), _>("of 1".into()));
        assert_eq!(caught(|| panic_any(1)), Err::<(), _>("(no message)".into()));
        assert_eq!(caught(|| panic_any(Chain(3))), Err::<(), _>("(no message)".into()));
    }
}
