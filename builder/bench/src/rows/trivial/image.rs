//! An OCI image layout (image-spec "Image Layout") whose only program is busybox.

use std::path::Path;

use kiln_model::Digest;
use serde_json::json;

use crate::error::BenchError;

/// Programs that the builds use; busybox acts as what it is called by.
const APPLETS: [&str; 3] = ["sh", "mkdir", "true"];

/// One entry of a tar archive: path, mode, bytes, and a target if it is a symbolic link.
pub(in crate::rows) type Entry<'a> = (&'a str, u32, &'a [u8], Option<&'a str>);

/// Writes the layout and returns the manifest's digest, with `sha256:`.
pub(in crate::rows) fn write_layout(folder: &Path, busybox: &Path) -> Result<String, BenchError> {
    let program = fs_err::read(busybox)?;
    let links: Vec<String> = APPLETS.iter().map(|name| format!("bin/{name}")).collect();
    let mut entries: Vec<Entry<'_>> = vec![("bin/busybox", 0o755, &program, None)];
    entries.extend(
        links
            .iter()
            .map(|name| (name.as_str(), 0o777, &[][..], Some("busybox"))),
    );
    let layer = tar(&entries)?;
    let blobs = folder.join("blobs/sha256");
    fs_err::create_dir_all(&blobs)?;
    let write = |bytes: &[u8]| -> Result<(String, usize), BenchError> {
        let digest = Digest::of(bytes);
        fs_err::write(blobs.join(digest.to_hex()), bytes)?;
        Ok((digest.to_string(), bytes.len()))
    };
    let (layer_digest, layer_size) = write(&layer)?;
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
    });
    let (config_digest, config_size) = write(config.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config_digest,
            "size": config_size,
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": layer_digest,
            "size": layer_size,
        }],
    });
    let (digest, _) = write(manifest.to_string().as_bytes())?;
    fs_err::write(
        folder.join("oci-layout"),
        "{\"imageLayoutVersion\":\"1.0.0\"}\n",
    )?;
    Ok(digest)
}

/// Returns an uncompressed tar archive.
pub(in crate::rows) fn tar(entries: &[Entry<'_>]) -> Result<Vec<u8>, BenchError> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, mode, bytes, link) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_mtime(0);
        match link {
            Some(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, path, target)?;
            }
            None => {
                header.set_size(bytes.len() as u64);
                builder.append_data(&mut header, path, *bytes)?;
            }
        }
    }
    Ok(builder.into_inner()?)
}
