//! A folder with a build's results, and the store that has what its steps installed.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;

use kiln_compare::{Outputs, Subject, SubjectKind};
use kiln_model::DiffId;

/// What nodes installed, by the node's name.
pub type Destdirs = BTreeMap<String, DiffId>;

/// The results of one build.
#[derive(Debug)]
pub struct BuiltOutputs {
    /// The folder `out/` of the build.
    pub folder: PathBuf,
    /// The blobs of its store.
    pub blobs: PathBuf,
    /// What nodes installed.
    pub destdirs: Destdirs,
}

impl Outputs for BuiltOutputs {
    fn open(&self, subject: &Subject) -> io::Result<Option<Box<dyn Read + '_>>> {
        let path = match subject.kind {
            SubjectKind::Destdir => match self.destdirs.get(&subject.name) {
                Some(destdir) => self.blobs.join(destdir.0.to_hex()),
                None => return Ok(None),
            },
            _ => self.folder.join(&subject.name),
        };
        match path.symlink_metadata() {
            Ok(found) if found.is_file() => Ok(Some(Box::new(fs_err::File::open(path)?))),
            Ok(_) => Err(io::Error::other(format!(
                "`{}` is no regular file",
                path.display()
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
