//! Takes an image out of an OCI image layout on disk (OCI image-spec "Image Layout"): foreign bytes
//! of which only the manifest's digest is believed.
//!
//! Every blob is checked for size and digest before it is read, every layer's uncompressed bytes for
//! the diff id that the configuration states. `index.json` is not looked at: the pin says which
//! manifest. Layers are stored uncompressed; the configuration and the manifest as they are.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use kiln_model::{Architecture, DiffId, Digest, ManifestDigest};
use kiln_store::{Sha256Stream, Store, StoreError};
use oci_spec::image::MediaType;
use rustix::fs::{FileType, Mode, OFlags};

use super::{
    DOCUMENT_LIMIT, DocumentProblem, LayerDescriptor, check_platform, config_layers, parse_config,
    parse_manifest,
};
use crate::compression::{Compression, StreamLimit, decompress};
use crate::limits::UnpackLimits;
use crate::rooted::{Follow, open_beneath};

/// Says why an image was not taken from a layout.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The folder is no OCI image layout.
    #[error("`{}` is no OCI image layout: {reason}", path.display())]
    Layout {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file of the layout can not be read, or is reached through a link, or is no regular file.
    #[error("`{}` can not be read as a regular file, without following links", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A blob's size is another than its descriptor says.
    #[error("`{}` has {actual} bytes, its descriptor says {expected}", path.display())]
    Size {
        /// The blob.
        path: PathBuf,
        /// From the descriptor.
        expected: u64,
        /// Of the file.
        actual: u64,
    },
    /// A blob does not have the digest that it is named by.
    #[error(
        "`{}` does not have the digest that it is named by\n  expected  {expected}\n  actual    {actual}",
        path.display()
    )]
    Digest {
        /// The blob.
        path: PathBuf,
        /// From its name.
        expected: Digest,
        /// Of its bytes.
        actual: Digest,
    },
    /// A manifest or configuration is not what it must be.
    #[error("image `{manifest}` in `{}`: {problem}", path.display())]
    Document {
        /// The layout.
        path: PathBuf,
        /// The image's manifest.
        manifest: ManifestDigest,
        /// What is wrong.
        problem: DocumentProblem,
    },
    /// A layer is compressed in another way than its media type says.
    #[error("`{}` is compressed with {actual}, its media type is `{media_type}`", path.display())]
    Compression {
        /// The layer's blob.
        path: PathBuf,
        /// From the manifest.
        media_type: String,
        /// From its first bytes.
        actual: &'static str,
    },
    /// A layer can not be decompressed.
    #[error("`{}` can not be decompressed", path.display())]
    Decompress {
        /// The layer's blob.
        path: PathBuf,
        /// What the decoder says.
        source: io::Error,
    },
    /// A layer is bigger than allowed.
    #[error("`{}` was refused: {limit}", path.display())]
    Limit {
        /// The layer's blob.
        path: PathBuf,
        /// The limit that was passed.
        limit: StreamLimit,
    },
    /// A layer's uncompressed bytes do not have the diff id in the configuration.
    #[error(
        "`{}` does not unpack to the diff id in the configuration\n  expected  {expected}\n  actual    {actual}",
        path.display()
    )]
    DiffId {
        /// The layer's blob.
        path: PathBuf,
        /// From the configuration.
        expected: DiffId,
        /// Of its uncompressed bytes.
        actual: DiffId,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Verifies an image in the layout folder `layout` and stores it; returns its diff ids, lowest first.
///
/// # Errors
/// As [`ImportError`] says. Blobs that were verified by then stay in the store.
pub fn import_layout(
    store: &Store,
    layout: &Path,
    manifest: &ManifestDigest,
    architecture: Architecture,
) -> Result<Vec<DiffId>, ImportError> {
    let folder = Layout::open(layout)?;
    let document = |problem| ImportError::Document {
        path: layout.to_owned(),
        manifest: *manifest,
        problem,
    };
    let manifest_bytes = folder.read_document(&manifest.0, None, "manifest", &document)?;
    let parsed = parse_manifest(&manifest_bytes).map_err(document)?;
    let size = Some(parsed.config.size);
    let config_bytes =
        folder.read_document(&parsed.config.digest, size, "configuration", &document)?;
    let config = parse_config(&config_bytes).map_err(document)?;
    check_platform(&config, architecture).map_err(document)?;
    let diff_ids = config_layers(&config, &parsed).map_err(document)?;
    for (layer, diff_id) in parsed.layers.iter().zip(&diff_ids) {
        folder.import_layer(store, layer, diff_id)?;
    }
    store.write_blob(&config_bytes)?;
    store.write_blob(&manifest_bytes)?;
    Ok(diff_ids)
}

struct Layout<'a> {
    path: &'a Path,
    root: OwnedFd,
}

impl<'a> Layout<'a> {
    fn open(path: &'a Path) -> Result<Self, ImportError> {
        let wrong = |reason: String| ImportError::Layout {
            path: path.to_owned(),
            reason,
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| wrong(io::Error::from(errno).to_string()))?;
        let layout = Self { path, root };
        let (mut file, _) = layout
            .open_file("oci-layout")
            .map_err(|_| wrong("it has no regular file `oci-layout`".to_owned()))?;
        let mut text = Vec::new();
        Read::by_ref(&mut file)
            .take(4096)
            .read_to_end(&mut text)
            .map_err(|source| layout.read_error("oci-layout", source))?;
        let value: serde_json::Value = serde_json::from_slice(&text)
            .map_err(|error| wrong(format!("`oci-layout` is damaged: {error}")))?;
        match value.get("imageLayoutVersion").and_then(|v| v.as_str()) {
            Some("1.0.0") => Ok(layout),
            _ => Err(wrong("`oci-layout` does not say version 1.0.0".to_owned())),
        }
    }

    fn read_error(&self, name: &str, source: io::Error) -> ImportError {
        ImportError::Read {
            path: self.path.join(name),
            source,
        }
    }

    /// Opens a regular file of the layout and returns its size.
    fn open_file(&self, name: &str) -> Result<(File, u64), ImportError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let fd = open_beneath(self.root.as_fd(), name.as_bytes(), flags, Follow::Never)
            .map_err(|errno| self.read_error(name, errno.into()))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| self.read_error(name, errno.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
            return Err(self.read_error(name, source));
        }
        Ok((
            File::from(fd),
            u64::try_from(stat.st_size).unwrap_or_default(),
        ))
    }

    /// Opens a blob and checks size and digest.
    fn open_blob(&self, digest: &Digest, size: Option<u64>) -> Result<Blob, ImportError> {
        let name = blob_name(digest);
        let (mut file, actual) = self.open_file(&name)?;
        let path = self.path.join(&name);
        if let Some(expected) = size
            && expected != actual
        {
            return Err(ImportError::Size {
                path,
                expected,
                actual,
            });
        }
        let mut hasher = Sha256Stream::default();
        let mut buffer = vec![0; 128 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => hasher.update(&buffer[..read]),
                Err(source) => return Err(self.read_error(&name, source)),
            }
        }
        let actual = hasher.finish();
        if actual != *digest {
            return Err(ImportError::Digest {
                path,
                expected: *digest,
                actual,
            });
        }
        file.seek(SeekFrom::Start(0))
            .map_err(|source| self.read_error(&name, source))?;
        Ok(Blob { file, path })
    }

    fn read_document(
        &self,
        digest: &Digest,
        size: Option<u64>,
        what: &'static str,
        document: &dyn Fn(DocumentProblem) -> ImportError,
    ) -> Result<Vec<u8>, ImportError> {
        let name = blob_name(digest);
        let (_, actual) = self.open_file(&name)?;
        if actual > DOCUMENT_LIMIT {
            return Err(document(DocumentProblem::TooLarge {
                what,
                limit: DOCUMENT_LIMIT,
                actual,
            }));
        }
        let blob = self.open_blob(digest, size)?;
        let mut bytes = Vec::new();
        blob.file
            .take(DOCUMENT_LIMIT)
            .read_to_end(&mut bytes)
            .map_err(|source| self.read_error(&name, source))?;
        // What was read is what was checked, even if the file changed in between.
        let actual = Digest::of(&bytes);
        if actual != *digest {
            return Err(ImportError::Digest {
                path: blob.path,
                expected: *digest,
                actual,
            });
        }
        Ok(bytes)
    }

    fn import_layer(
        &self,
        store: &Store,
        layer: &LayerDescriptor,
        diff_id: &DiffId,
    ) -> Result<(), ImportError> {
        let Blob { mut file, path } = self.open_blob(&layer.digest, Some(layer.size))?;
        let decompress_error = |source: io::Error| match source.downcast::<StreamLimit>() {
            Ok(limit) => ImportError::Limit {
                path: path.clone(),
                limit,
            },
            Err(source) => ImportError::Decompress {
                path: path.clone(),
                source,
            },
        };
        let (compression, mut stream) =
            decompress(&mut file, UnpackLimits::LAYER).map_err(decompress_error)?;
        if compression != expected_compression(&layer.media_type) {
            return Err(ImportError::Compression {
                path: path.clone(),
                media_type: layer.media_type.to_string(),
                actual: compression.name(),
            });
        }
        let mut writer = store.plain_blob_writer()?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => writer.append(&buffer[..read])?,
                Err(error) => return Err(decompress_error(error)),
            }
        }
        match writer.finish_expecting(&diff_id.0) {
            Ok(_) => Ok(()),
            Err(StoreError::Mismatch { expected, actual }) => Err(ImportError::DiffId {
                path,
                expected: DiffId(expected),
                actual: DiffId(actual),
            }),
            Err(error) => Err(error.into()),
        }
    }
}

struct Blob {
    file: File,
    path: PathBuf,
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.to_hex())
}

fn expected_compression(media_type: &MediaType) -> Compression {
    match media_type {
        MediaType::ImageLayerGzip => Compression::Gzip,
        MediaType::ImageLayerZstd => Compression::Zstd,
        _ => Compression::None,
    }
}
