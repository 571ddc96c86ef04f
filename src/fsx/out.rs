//! Files that are written by others, who do not know the path.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{create, shown_path};

/// A new file whose errors name it.
#[derive(Debug)]
pub struct Out {
    file: File,
    path: PathBuf,
}

impl Out {
    /// Creates it; what was there is lost.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            file: create(path)?,
            path: path.to_owned(),
        })
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|error| {
            let path = self.path.clone();
            // One that is tried again is not for people.
            if error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            io::Error::new(error.kind(), CannotWrite { path, error })
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error of writing as what it is: no fault of what was read meanwhile.
pub fn cannot_write(error: io::Error) -> anyhow::Error {
    match error.downcast::<CannotWrite>() {
        Ok(named) => named.into(),
        Err(error) => error.into(),
    }
}

#[derive(Debug)]
struct CannotWrite {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for CannotWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write `{}`", shown_path(&self.path))
    }
}

impl std::error::Error for CannotWrite {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
