//! A folder with a build's results, and the digests of what its steps installed.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;

use kiln_compare::{Outputs, Subject, SubjectKind};
use kiln_model::{DiffId, Digest};

/// What nodes installed, by the node's name.
pub type Destdirs = BTreeMap<String, DiffId>;

/// The results of one build.
#[derive(Debug)]
pub struct BuiltOutputs {
    /// The folder `out/` of the build.
    pub folder: PathBuf,
    /// What nodes installed.
    pub destdirs: Destdirs,
}

impl Outputs for BuiltOutputs {
    fn open(&self, subject: &Subject) -> io::Result<Option<Box<dyn Read + '_>>> {
        if subject.kind == SubjectKind::Destdir {
            // A rebuild's store may be gone by now: digests are what is compared.
            let destdir = self.destdirs.get(&subject.name);
            return Ok(destdir.map(|destdir| -> Box<dyn Read> {
                Box::new(Cursor::new(format!("{destdir}\n")))
            }));
        }
        let path = self.folder.join(&subject.name);
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

    fn digest(&self, subject: &Subject) -> Option<Digest> {
        let destdir = self.destdirs.get(&subject.name);
        destdir
            .filter(|_| subject.kind == SubjectKind::Destdir)
            .map(|destdir| destdir.0)
    }
}
