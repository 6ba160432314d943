//! `kiln sign`: signatures for everything in `out/`, by a key that is here or elsewhere.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use kiln_build::{
    BuildError, PublicKeys, SignError, SignSummary, SignatureSource, SigningRequest, ToSign,
    publish, read_response, sign, write_request,
};
use kiln_model::{Fingerprint, SourceDateEpoch};
use kiln_rpm::{Certificate, Passphrase, SigningKey};

use crate::arguments::{Common, Format, Sign, path};
use crate::failure::Failure;
use crate::host;
use crate::interrupt::FirstSignal;
use crate::print::{line, note};
use crate::report::{EventLine, print_event};
use crate::session::{self, Session};
use crate::text::count;

/// Most bytes of one file: a request holds the headers of all packages, some hundred KiB each.
const MOST_BYTES: u64 = 256 << 20;

/// Signs, or asks for signatures, or gives them.
pub fn run(common: &Common, arguments: &Sign) -> Result<u8, Failure> {
    if let Some(request) = path(arguments.respond.as_ref()) {
        return respond(common, arguments, &request);
    }
    let project = session::load(common)?;
    let signing = &project.config.signing;
    let Some(fingerprint) = signing.fingerprint.clone() else {
        if arguments.if_configured {
            return Ok(0);
        }
        return Err(Failure::sign(&project, &SignError::NoFingerprint));
    };
    let root = project.root.clone();
    let key_file = path(arguments.key.as_ref());
    let key_file = key_file.or_else(|| signing.key.as_ref().map(|key| root.join(key)));
    let is_exchange = arguments.request.is_some() || arguments.response.is_some();
    // A project that crossed an air gap came without its secret key.
    if arguments.if_configured
        && arguments.key.is_none()
        && let Some(file) = key_file.as_ref().filter(|file| !file.exists())
    {
        let file = file.display();
        note(&format!(
            "note: nothing is signed: there is no secret key in `{file}`"
        ));
        return Ok(0);
    }
    if arguments.if_configured && key_file.is_none() && !is_exchange {
        return Ok(0);
    }
    let key = match (is_exchange, key_file) {
        (true, _) => None,
        (false, Some(file)) => Some(open_key(arguments, &file, &fingerprint)?),
        (false, None) => {
            let text = "`kiln.toml` names no file with the secret key, and --key does not either";
            return Err(Failure::usage(
                text,
                "say it with --key, or sign elsewhere: --request FILE",
            ));
        }
    };
    let mut others = Vec::new();
    for file in &signing.public_keys {
        others.extend(public_keys(&root.join(file))?);
    }
    let own = key.as_ref().map(SigningKey::certificate);
    let keys = PublicKeys::new(&fingerprint, own, others);
    let keys = keys.map_err(|error| Failure::sign(&project, &error))?;
    drop(project);
    let mut session = Session::open(common, FirstSignal::Asks)?;
    let exchange = Exchange {
        request: path(arguments.request.as_ref()),
        response: path(arguments.response.as_ref()),
    };
    let done = perform(&session, &keys, key.as_ref(), &exchange, &fingerprint);
    let done = done.map_err(|error| Failure::sign(&session.project, &error))?;
    session.finish_report();
    tell(common, &done, &exchange);
    Ok(0)
}

/// The files that go to the key and come back.
struct Exchange {
    request: Option<PathBuf>,
    response: Option<PathBuf>,
}

fn perform(
    session: &Session,
    keys: &PublicKeys,
    key: Option<&SigningKey>,
    exchange: &Exchange,
    fingerprint: &Fingerprint,
) -> Result<SignSummary, SignError> {
    let shop = session.workshop();
    if let Some(key) = key {
        return sign(&shop, keys, &SignatureSource::Key(key));
    }
    let asked = sign(&shop, keys, &SignatureSource::Request)?;
    if let Some(request) = &exchange.request {
        if !asked.missing.is_empty() {
            publish(request, &write_request(fingerprint, &asked.missing))?;
        }
        return Ok(asked);
    }
    let Some(response) = &exchange.response else {
        return Ok(asked);
    };
    let bytes = bounded(response).map_err(BuildError::from)?;
    let signatures = read_response(&bytes, &asked.missing)?;
    sign(&shop, keys, &SignatureSource::Response(&signatures))
}

/// Answers a request, where the key is: needs no project and no store.
fn respond(common: &Common, arguments: &Sign, request: &Path) -> Result<u8, Failure> {
    let bytes = read(request)?;
    let request = SigningRequest::parse(&bytes).map_err(|error| Failure::sign_file(&error))?;
    let (Some(key), Some(to)) = (path(arguments.key.as_ref()), path(arguments.to.as_ref())) else {
        let text = "--respond needs the key that signs and a place for the response";
        return Err(Failure::usage(
            text,
            "kiln sign --respond REQUEST --key KEY --to RESPONSE",
        ));
    };
    let key = open_key(arguments, &key, &request.fingerprint)?;
    let response = request.respond(&key);
    let response = response.map_err(|error| Failure::sign_file(&error))?;
    publish(&to, &response).map_err(|error| Failure::file(&error))?;
    if !common.quiet && common.format == Format::Human {
        for name in request.names() {
            line(&format!("signed     {name}"));
        }
        line(&format!("The response is in {}.", to.display()));
    }
    Ok(0)
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    bounded(file).map_err(|error| Failure::host(error.into()))
}

/// Reads keys, passphrases, requests and responses: what people name may have no end.
fn bounded(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = MOST_BYTES + 1;
    fs_err::File::open(file)?
        .take(most)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 == most {
        let text = format!("{}: expected at most {MOST_BYTES} bytes", file.display());
        return Err(std::io::Error::other(text));
    }
    Ok(bytes)
}

fn open_key(
    arguments: &Sign,
    file: &Path,
    fingerprint: &Fingerprint,
) -> Result<SigningKey, Failure> {
    let passphrase = match path(arguments.passphrase_file.as_ref()) {
        Some(file) => {
            let mut bytes = read(&file)?;
            // Editors end files with a line feed; no passphrase that people type has one.
            let end = bytes.iter().rposition(|byte| !b"\r\n".contains(byte));
            bytes.truncate(end.map_or(0, |end| end + 1));
            Some(bytes)
        }
        None => host::passphrase(),
    };
    let passphrase = passphrase.map(Passphrase::new);
    let now = u32::try_from(host::seconds()).unwrap_or(u32::MAX);
    let now = SourceDateEpoch::from_seconds(now);
    let opened = SigningKey::open(&read(file)?, passphrase.as_ref(), fingerprint, now);
    opened.map_err(|error| Failure::key(file, &error))
}

fn public_keys(file: &Path) -> Result<Vec<Certificate>, Failure> {
    let found = Certificate::parse_all(&read(file)?);
    found.map_err(|error| Failure::key(file, &error))
}

fn tell(common: &Common, done: &SignSummary, exchange: &Exchange) {
    if common.format == Format::Json {
        print_event(&EventLine::Signed {
            packages: done.signed,
            is_repository_signed: done.is_index_signed,
            released: done.released.clone(),
            missing: done
                .missing
                .iter()
                .map(|item: &ToSign| item.name.clone())
                .collect(),
            files_written: done.written,
        });
        return;
    }
    if common.quiet {
        return;
    }
    match (&exchange.request, done.missing.len()) {
        (Some(request), missing @ 1..) => {
            let what = count(missing, "signature");
            line(&format!("{what} asked for in {}.", request.display()));
            return;
        }
        (Some(_), 0) => line("Nothing has to be signed: no request was written."),
        _ => {}
    }
    let index = match done.is_index_signed {
        true => ", and the repository's index",
        false => "",
    };
    let written = match done.written {
        0 => "out/ is as it was".to_owned(),
        files => format!("{} written", count(files, "file")),
    };
    line(&format!(
        "{} signed{index}; {written}.",
        count(done.signed, "package")
    ));
    if !done.released.is_empty() {
        let what = count(done.released.len(), "package");
        line(&format!(
            "{what} released now: commit lockfiles/released.lock."
        ));
    }
    if !done.missing.is_empty() {
        let what = count(done.missing.len(), "signature");
        line(&format!(
            "{what} still missing: `kiln sign --request FILE` asks for more."
        ));
    }
}
