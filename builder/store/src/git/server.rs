//! What is said with a git server over smart HTTP (gitprotocol-http(5)): its refs, and packs.
//!
//! Version 2 of the protocol is asked for; servers that know none answer in version 0. Nothing is told of
//! what is there already, so packs are whole: none needs an object that it does not hold.
//!
//! ```text
//! GET  URL/info/refs?service=git-upload-pack      what the server can; in version 0 its refs too
//! POST URL/git-upload-pack                        ls-refs; fetch
//! ```
//!
//! Only the first question may be redirected, and where that leads is asked from then on.

use std::io::Write as _;
use std::path::Path;

use gix_hash::{Kind, ObjectId};

use crate::error::StoreError;
use crate::fetch::{Address, AttemptError, Body, Line, Question, TransferError};
use crate::git::packet::{Packet, Packets, unreadable, write, write_delimiter, write_flush};

/// What the address of a repository is asked for first.
const DISCOVERY: &str = "/info/refs?service=git-upload-pack";

/// Most bytes of a list of refs: a million of them.
const MAX_REFS: u64 = 128 * 1024 * 1024;

/// Longest message of a server that is repeated, in characters.
const MAX_MESSAGE: usize = 300;

const AGENT: &str = concat!("agent=kiln/", env!("CARGO_PKG_VERSION"));

/// A name in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ref {
    pub(super) name: String,
    pub(super) id: ObjectId,
    /// What an annotated tag leads to in the end.
    pub(super) peeled: Option<ObjectId>,
}

/// How much history comes with what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Single commits with their trees.
    Shallow,
    /// All of it.
    Whole,
}

/// How the server speaks.
#[derive(Debug)]
enum Protocol {
    /// Version 0 or 1: the refs came first.
    Zero { refs: Vec<Ref> },
    /// Version 2.
    Two,
}

/// A repository that answers.
pub(super) struct Server<'a> {
    line: &'a Line,
    base: Address,
    protocol: Protocol,
    capabilities: Vec<String>,
    hash: Kind,
}

impl<'a> Server<'a> {
    /// Asks whether a git server is there, and how it speaks.
    pub(super) async fn ask(line: &'a Line, repository: &Address) -> Result<Self, AttemptError> {
        let address = below(repository, DISCOVERY)?;
        let question = Question {
            headers: &[
                ("accept", "application/x-git-upload-pack-advertisement"),
                ("git-protocol", "version=2"),
            ],
            ..Question::default()
        };
        let (reached, body) = line.answer(&address, &question).await?;
        let kind = "application/x-git-upload-pack-advertisement";
        if body.content_type() != Some(kind) {
            return Err(AttemptError::NotGit);
        }
        let reached = reached.url().as_str();
        let base = reached
            .strip_suffix(DISCOVERY)
            .ok_or_else(|| unreadable("it was redirected to another question"))?;
        let base = Address::parse(base).map_err(|reason| AttemptError::Address { reason })?;
        let mut packets = Packets::new(body, MAX_REFS);
        let mut first = packets.expect().await?;
        if first
            .text()
            .is_some_and(|text| text.starts_with("# service="))
        {
            while first != Packet::Flush {
                first = packets.expect().await?;
            }
            first = packets.expect().await?;
        }
        refuse_error(&first)?;
        let server = |protocol, capabilities: Vec<String>, hash| Self {
            line,
            base,
            protocol,
            capabilities,
            hash,
        };
        if first.text().as_deref() == Some("version 2") {
            let mut capabilities = Vec::new();
            while let Some(text) = packets.expect().await?.text() {
                capabilities.push(text);
            }
            let hash = hash_of(&capabilities)?;
            return Ok(server(Protocol::Two, capabilities, hash));
        }
        if first.text().as_deref() == Some("version 1") {
            first = packets.expect().await?;
        }
        let (refs, capabilities, hash) = advertised(first, &mut packets).await?;
        Ok(server(Protocol::Zero { refs }, capabilities, hash))
    }

    /// Returns how the repository's objects are named.
    pub(super) const fn hash(&self) -> Kind {
        self.hash
    }

    /// Returns the refs whose names start with one of `prefixes`.
    pub(super) async fn refs(&self, prefixes: &[String]) -> Result<Vec<Ref>, AttemptError> {
        let is_asked = |name: &str| {
            prefixes
                .iter()
                .any(|prefix| name.starts_with(prefix.as_str()))
        };
        if let Protocol::Zero { refs } = &self.protocol {
            let asked = refs.iter().filter(|found| is_asked(&found.name));
            return Ok(asked.cloned().collect());
        }
        let mut request = self.command("ls-refs");
        write(&mut request, "peel\n");
        for prefix in prefixes {
            write(&mut request, &format!("ref-prefix {prefix}\n"));
        }
        write_flush(&mut request);
        let body = self.post(&request).await?;
        let mut packets = Packets::new(body, MAX_REFS);
        let mut refs = Vec::new();
        loop {
            let packet = packets.expect().await?;
            refuse_error(&packet)?;
            let Some(text) = packet.text() else {
                break;
            };
            let mut parts = text.split(' ');
            let (Some(id), Some(name)) = (parts.next(), parts.next()) else {
                return Err(unreadable("a ref has no name"));
            };
            // A branch without commits.
            if id == "unborn" {
                continue;
            }
            let peeled = parts.find_map(|part| part.strip_prefix("peeled:"));
            refs.push(Ref {
                name: name.to_owned(),
                id: self.id(id)?,
                peeled: peeled.map(|id| self.id(id)).transpose()?,
            });
        }
        // A server need not obey.
        refs.retain(|found| is_asked(&found.name));
        Ok(refs)
    }

    /// Fetches a pack with `wants` into the new file `pack`, of at most `limit` bytes.
    pub(super) async fn fetch(
        &self,
        wants: &[ObjectId],
        depth: Depth,
        (pack, limit): (&Path, u64),
        advanced: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), TransferError> {
        let depth = match depth {
            Depth::Shallow if self.can_be_shallow() => Depth::Shallow,
            _ => Depth::Whole,
        };
        let (request, is_two) = match &self.protocol {
            Protocol::Two => (self.fetch_request(wants, depth), true),
            Protocol::Zero { .. } => (self.old_fetch_request(wants, depth), false),
        };
        let body = self.post(&request).await?;
        let mut packets = Packets::new(body, limit);
        match is_two {
            true => skip_to_pack(&mut packets).await?,
            false => skip_to_old_pack(&mut packets, depth).await?,
        }
        let failed = |error| StoreError::from_io("write", pack, error);
        let mut file = fs_err::File::create_new(pack).map_err(failed)?;
        let mut is_ended = false;
        while let Some(packet) = packets.next().await? {
            let Packet::Data(bytes) = packet else {
                is_ended = true;
                break;
            };
            match bytes.split_first() {
                Some((1, bytes)) => file.write_all(bytes).map_err(failed)?,
                // What people are told of progress.
                Some((2, _)) => {}
                Some((3, message)) => return Err(refused(message).into()),
                _ => return Err(unreadable("a packet belongs to no band").into()),
            }
            advanced(packets.received());
        }
        if !is_ended {
            return Err(unreadable("the pack breaks off").into());
        }
        file.flush().map_err(failed)?;
        Ok(())
    }

    fn can_be_shallow(&self) -> bool {
        match self.protocol {
            Protocol::Zero { .. } => self.has("shallow"),
            Protocol::Two => {
                let fetch = |text: &String| text.strip_prefix("fetch=").map(str::to_owned);
                let features = self.capabilities.iter().find_map(fetch);
                features.is_some_and(|features| features.split(' ').any(|it| it == "shallow"))
            }
        }
    }

    fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|known| known == capability)
    }

    fn command(&self, name: &str) -> Vec<u8> {
        let mut request = Vec::new();
        write(&mut request, &format!("command={name}\n"));
        write(&mut request, AGENT);
        if self
            .capabilities
            .iter()
            .any(|it| it.starts_with("object-format="))
        {
            write(&mut request, &format!("object-format={}", self.hash));
        }
        write_delimiter(&mut request);
        request
    }

    fn fetch_request(&self, wants: &[ObjectId], depth: Depth) -> Vec<u8> {
        let mut request = self.command("fetch");
        write(&mut request, "no-progress\n");
        write(&mut request, "ofs-delta\n");
        if depth == Depth::Shallow {
            write(&mut request, "deepen 1\n");
        }
        for id in wants {
            write(&mut request, &format!("want {id}\n"));
        }
        write(&mut request, "done\n");
        write_flush(&mut request);
        request
    }

    fn old_fetch_request(&self, wants: &[ObjectId], depth: Depth) -> Vec<u8> {
        let mut features = String::new();
        for feature in ["side-band-64k", "ofs-delta", "no-progress"] {
            if self.has(feature) {
                features.push_str(&format!(" {feature}"));
            }
        }
        if self
            .capabilities
            .iter()
            .any(|it| it.starts_with("object-format="))
        {
            features.push_str(&format!(" object-format={}", self.hash));
        }
        let mut request = Vec::new();
        for (number, id) in wants.iter().enumerate() {
            let features = if number == 0 { features.as_str() } else { "" };
            write(&mut request, &format!("want {id}{features}\n"));
        }
        if depth == Depth::Shallow {
            write(&mut request, "deepen 1");
        }
        write_flush(&mut request);
        write(&mut request, "done\n");
        request
    }

    async fn post(&self, request: &[u8]) -> Result<Body, AttemptError> {
        let address = below(&self.base, "/git-upload-pack")?;
        let mut headers = vec![
            ("accept", "application/x-git-upload-pack-result"),
            ("content-type", "application/x-git-upload-pack-request"),
        ];
        if let Protocol::Two = self.protocol {
            headers.push(("git-protocol", "version=2"));
        }
        let question = Question {
            headers: &headers,
            body: Some(request),
            ..Question::default()
        };
        let (_, body) = self.line.answer(&address, &question).await?;
        match body.content_type() {
            Some("application/x-git-upload-pack-result") => Ok(body),
            _ => Err(AttemptError::NotGit),
        }
    }

    fn id(&self, text: &str) -> Result<ObjectId, AttemptError> {
        id(text, self.hash)
    }
}

/// Reads an object's name.
pub(super) fn id(text: &str, hash: Kind) -> Result<ObjectId, AttemptError> {
    let id = ObjectId::from_hex(text.as_bytes()).ok();
    id.filter(|id| id.kind() == hash)
        .ok_or_else(|| unreadable("an object has no name of the repository's kind"))
}

/// Returns an address in a repository.
fn below(repository: &Address, path: &str) -> Result<Address, AttemptError> {
    let base = repository.url().as_str().trim_end_matches('/');
    Address::parse(&format!("{base}{path}")).map_err(|reason| AttemptError::Address { reason })
}

fn hash_of(capabilities: &[String]) -> Result<Kind, AttemptError> {
    let format = |text: &String| text.strip_prefix("object-format=").map(str::to_owned);
    match capabilities.iter().find_map(format).as_deref() {
        None | Some("sha1") => Ok(Kind::Sha1),
        Some("sha256") => Ok(Kind::Sha256),
        Some(_) => Err(unreadable(
            "its objects are named in a way that kiln does not know",
        )),
    }
}

/// Reads the refs that version 0 begins with.
async fn advertised(
    first: Packet,
    packets: &mut Packets,
) -> Result<(Vec<Ref>, Vec<String>, Kind), AttemptError> {
    let mut next = first;
    let (mut refs, mut capabilities): (Vec<Ref>, Vec<String>) = (Vec::new(), Vec::new());
    let mut hash = Kind::Sha1;
    let mut is_first = true;
    while let Some(text) = next.text() {
        let text = match text.split_once('\0') {
            Some((text, features)) if is_first => {
                capabilities = features.split(' ').map(str::to_owned).collect();
                hash = hash_of(&capabilities)?;
                text.to_owned()
            }
            _ => text,
        };
        is_first = false;
        let (name, found) = text
            .split_once(' ')
            .map(|(found, name)| (name.to_owned(), found.to_owned()))
            .ok_or_else(|| unreadable("a ref has no name"))?;
        next = packets.expect().await?;
        // A repository without refs; where a shallow one ends.
        if name == "capabilities^{}" || found == "shallow" {
            continue;
        }
        let found = id(&found, hash)?;
        match (name.strip_suffix("^{}"), refs.last_mut()) {
            (Some(tag), Some(last)) if last.name == tag => last.peeled = Some(found),
            _ => refs.push(Ref {
                name,
                id: found,
                peeled: None,
            }),
        }
    }
    Ok((refs, capabilities, hash))
}

/// Reads up to where the pack of version 2 begins.
async fn skip_to_pack(packets: &mut Packets) -> Result<(), AttemptError> {
    loop {
        let packet = packets.expect().await?;
        refuse_error(&packet)?;
        match packet.text().as_deref() {
            Some("packfile") => return Ok(()),
            // Sections before it, and what is in them.
            Some(_) => {}
            None if packet == Packet::Delimiter => {}
            None => return Err(unreadable("it holds no pack")),
        }
    }
}

/// Does the same in version 0: where history ends, then that nothing is common.
async fn skip_to_old_pack(packets: &mut Packets, depth: Depth) -> Result<(), AttemptError> {
    if depth == Depth::Shallow {
        loop {
            let packet = packets.expect().await?;
            refuse_error(&packet)?;
            match packet.text() {
                Some(text) if text.starts_with("shallow ") || text.starts_with("unshallow ") => {}
                Some(_) => return Err(unreadable("it does not say where history ends")),
                None => break,
            }
        }
    }
    let packet = packets.expect().await?;
    refuse_error(&packet)?;
    match packet.text().as_deref() {
        Some("NAK") => Ok(()),
        _ => Err(unreadable(
            "it knows objects of ours, of which it was told none",
        )),
    }
}

fn refuse_error(packet: &Packet) -> Result<(), AttemptError> {
    match packet {
        Packet::Data(bytes) => match bytes.strip_prefix(b"ERR ") {
            Some(message) => Err(refused(message)),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// What a server says is repeated, without what would harm a terminal.
fn refused(message: &[u8]) -> AttemptError {
    let text = String::from_utf8_lossy(message);
    let clean = text.trim().chars().filter(|c| !c.is_control());
    AttemptError::GitRefused {
        message: clean.take(MAX_MESSAGE).collect(),
    }
}
