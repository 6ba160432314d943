//! How long work on trees is told to stop: by a question that it asks again and again.
//!
//! The room that stops steps is another one, which this one does not know.

use std::error::Error;
use std::io::{self, Read, Write};

/// Says that work was not finished because somebody asked it to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped before the end, as was asked")]
pub struct Stopped;

impl From<Stopped> for io::Error {
    fn from(stopped: Stopped) -> Self {
        Self::other(stopped)
    }
}

/// A reader or writer that fails with [`Stopped`] as soon as its question is answered with yes.
pub struct Stoppable<'a, T> {
    inner: T,
    is_stopped: &'a dyn Fn() -> bool,
}

impl<T: std::fmt::Debug> std::fmt::Debug for Stoppable<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stoppable")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<'a, T> Stoppable<'a, T> {
    /// Lets `inner` go on for as long as `is_stopped` says no.
    pub fn new(inner: T, is_stopped: &'a dyn Fn() -> bool) -> Self {
        Self { inner, is_stopped }
    }

    /// Returns the reader or writer itself.
    pub fn into_inner(self) -> T {
        self.inner
    }

    fn check(&self) -> Result<(), Stopped> {
        if (self.is_stopped)() {
            Err(Stopped)
        } else {
            Ok(())
        }
    }
}

impl<T: Read> Read for Stoppable<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.read(buffer)
    }
}

impl<T: Write> Write for Stoppable<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Returns whether an error is [`Stopped`], or was caused by it.
#[must_use]
pub fn is_stopped(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        // What an I/O error wraps is not among its causes.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if error.is::<Stopped>() || wrapped.is_some_and(|wrapped| is_stopped(wrapped)) {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::tar_read::TarError;
    use crate::unpack::UnpackError;

    #[test]
    fn it_goes_on_until_the_answer_is_yes() {
        let asked = Cell::new(0);
        let third = || {
            asked.set(asked.get() + 1);
            asked.get() > 2
        };
        let mut endless = Stoppable::new(io::repeat(1), &third);
        let mut buffer = [0; 4];
        assert_eq!(endless.read(&mut buffer).unwrap(), 4);
        assert_eq!(endless.read(&mut buffer).unwrap(), 4);
        let error = endless.read(&mut buffer).unwrap_err();
        assert!(is_stopped(&error), "{error:?}");
        let no = || false;
        let mut writer = Stoppable::new(Vec::new(), &no);
        writer.write_all(b"all of it").unwrap();
        assert_eq!(writer.into_inner(), b"all of it");
        let error = Stoppable::new(Vec::new(), &|| true).write_all(b"x");
        assert!(is_stopped(&error.unwrap_err()));
    }

    #[test]
    fn it_is_found_below_other_errors() {
        let read = |source| {
            UnpackError::Tar(TarError::Read {
                archive: "a.tar.gz".to_owned(),
                offset: 0,
                source,
            })
        };
        assert!(is_stopped(&read(Stopped.into())));
        assert!(is_stopped(&read(io::Error::other(io::Error::from(
            Stopped
        )))));
        assert!(!is_stopped(&read(io::ErrorKind::UnexpectedEof.into())));
        assert!(!is_stopped(&io::Error::from_raw_os_error(28)));
    }
}
