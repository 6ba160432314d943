//! What a package's header says: relations, files, scriptlets; and the tag numbers (rpm: `rpmtag.h`).

use kiln_model::Digest;

use super::RpmError;
use super::header::{Header, Section};

pub(super) const SHA256_HEADER: u32 = 273;
/// DSA and RSA over the header, PGP and GPG over header and payload, and OpenPGP of rpm 6.
pub(super) const SIGNATURES: [u32; 5] = [267, 268, 278, 1002, 1005];

/// The first two: what rpm 4.18 verifies a header by.
pub(super) const HEADER_SIGNATURES: [u32; 2] = [267, 268];

pub(super) const NAME: u32 = 1000;
pub(super) const VERSION: u32 = 1001;
pub(super) const RELEASE: u32 = 1002;
pub(super) const EPOCH: u32 = 1003;
pub(super) const SUMMARY: u32 = 1004;
pub(super) const BUILD_TIME: u32 = 1006;
pub(super) const BUILD_HOST: u32 = 1007;
pub(super) const VENDOR: u32 = 1011;
pub(super) const LICENSE: u32 = 1014;
pub(super) const ARCHITECTURE: u32 = 1022;
const FILE_SIZES: u32 = 1028;
const FILE_MODES: u32 = 1030;
const FILE_TIMES: u32 = 1034;
const FILE_DIGESTS: u32 = 1035;
const FILE_LINKS: u32 = 1036;
const FILE_FLAGS: u32 = 1037;
const FILE_USERS: u32 = 1039;
const FILE_GROUPS: u32 = 1040;
pub(super) const SOURCE_RPM: u32 = 1044;
const DIRECTORY_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIRECTORY_NAMES: u32 = 1118;
pub(super) const PAYLOAD_COMPRESSOR: u32 = 1125;
pub(super) const PAYLOAD_FLAGS: u32 = 1126;
const LONG_FILE_SIZES: u32 = 5008;
const FILE_CAPABILITIES: u32 = 5010;
const FILE_DIGEST_ALGORITHM: u32 = 5011;
pub(super) const PAYLOAD_DIGEST: u32 = 5092;
pub(super) const PAYLOAD_DIGEST_ALGORITHM: u32 = 5093;

/// How the version in a relation compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `=`
    Equal,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
}

impl Comparison {
    /// Returns the sign as rpm writes it.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Equal => "=",
            Self::GreaterOrEqual => ">=",
            Self::Greater => ">",
        }
    }

    /// `None` for no comparison, and for bits that contradict each other.
    const fn from_flags(flags: u32) -> Option<Self> {
        match flags & 0b1110 {
            2 => Some(Self::Less),
            4 => Some(Self::Greater),
            8 => Some(Self::Equal),
            10 => Some(Self::LessOrEqual),
            12 => Some(Self::GreaterOrEqual),
            _ => None,
        }
    }
}

/// One dependency of a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Relation {
    /// What it is about: a package, a soname, a path, `pkgconfig(zlib)`.
    pub name: String,
    /// Which versions, where that is restricted.
    pub version: Option<(Comparison, String)>,
    /// All of rpm's flags (`RPMSENSE_…`), the comparison's bits included.
    pub flags: u32,
}

impl Relation {
    /// Returns whether rpm itself, not a package, is to satisfy it.
    #[must_use]
    pub fn is_rpmlib(&self) -> bool {
        self.name.starts_with("rpmlib(")
    }
}

impl std::fmt::Display for Relation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.version {
            Some((comparison, version)) => {
                write!(f, "{} {} {version}", self.name, comparison.sign())
            }
            None => f.write_str(&self.name),
        }
    }
}

/// Everything that a package says about others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Relations {
    /// What others may require.
    pub provides: Vec<Relation>,
    /// What must be there.
    pub requires: Vec<Relation>,
    /// What must not be there.
    pub conflicts: Vec<Relation>,
    /// What it replaces.
    pub obsoletes: Vec<Relation>,
    /// What should be there.
    pub recommends: Vec<Relation>,
    /// What might be of use.
    pub suggests: Vec<Relation>,
    /// Whom it should be installed with.
    pub supplements: Vec<Relation>,
    /// For whom it might be of use.
    pub enhances: Vec<Relation>,
}

impl Relations {
    pub(super) fn read(header: &Header) -> Result<Self, RpmError> {
        Ok(Self {
            provides: read_relations(header, [1047, 1112, 1113])?,
            requires: read_relations(header, [1049, 1048, 1050])?,
            conflicts: read_relations(header, [1054, 1053, 1055])?,
            obsoletes: read_relations(header, [1090, 1114, 1115])?,
            recommends: read_relations(header, [5046, 5048, 5047])?,
            suggests: read_relations(header, [5049, 5051, 5050])?,
            supplements: read_relations(header, [5052, 5054, 5053])?,
            enhances: read_relations(header, [5055, 5057, 5056])?,
        })
    }
}

fn read_relations(
    header: &Header,
    [names, flags, versions]: [u32; 3],
) -> Result<Vec<Relation>, RpmError> {
    let names = header.texts(names)?;
    let flags = header.numbers_of(flags, names.len())?;
    let versions = header.texts_of(versions, names.len())?;
    let relation = |((name, flags), version): ((&String, u32), &String)| Relation {
        name: name.clone(),
        version: Comparison::from_flags(flags).map(|comparison| (comparison, version.clone())),
        flags,
    };
    Ok(names
        .iter()
        .zip(flags)
        .zip(versions)
        .map(relation)
        .collect())
}

/// What a packaged path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackagedFileKind {
    /// A regular file. A ghost has no digest.
    Regular {
        /// The content's digest.
        digest: Option<Digest>,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Link {
        /// Where it points.
        target: String,
    },
    /// A device, a FIFO or a socket.
    Special,
}

/// One file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagedFile {
    /// Where it is installed.
    pub path: String,
    /// What it is.
    pub kind: PackagedFileKind,
    /// Permission bits, set-id and sticky included.
    pub mode: u16,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970.
    pub modified: u32,
    /// Owner's name.
    pub user: String,
    /// Group's name.
    pub group: String,
    /// rpm's flags (`RPMFILE_…`).
    pub flags: u32,
    /// File capabilities, where it has any.
    pub capabilities: Option<String>,
}

impl PackagedFile {
    /// Returns whether it is configuration.
    #[must_use]
    pub const fn is_config(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Returns whether it is documentation.
    #[must_use]
    pub const fn is_documentation(&self) -> bool {
        self.flags & 2 != 0
    }

    /// Returns whether it is owned, but not in the payload.
    #[must_use]
    pub const fn is_ghost(&self) -> bool {
        self.flags & 64 != 0
    }

    /// Returns whether it is a licence's text.
    #[must_use]
    pub const fn is_license(&self) -> bool {
        self.flags & 128 != 0
    }
}

/// The header's arrays about files, all of one length.
struct FileArrays<'a> {
    sizes: &'a [u64],
    modes: Vec<u32>,
    times: Vec<u32>,
    digests: &'a [String],
    links: &'a [String],
    flags: Vec<u32>,
    users: &'a [String],
    groups: &'a [String],
    capabilities: &'a [String],
}

pub(super) fn read_files(header: &Header) -> Result<Vec<PackagedFile>, RpmError> {
    const SHA256: u32 = 8;
    let names = header.texts(BASE_NAMES)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    // Without the tag the digests are MD5.
    let algorithm = header.number(FILE_DIGEST_ALGORITHM)?.unwrap_or(1);
    if algorithm != SHA256 {
        return Err(RpmError::FileDigestAlgorithm { algorithm });
    }
    let count = names.len();
    let wrong = |tag, expected| RpmError::Tag {
        section: Section::Header,
        tag,
        expected,
    };
    let sizes = match header.numbers(LONG_FILE_SIZES)? {
        [] => header.numbers(FILE_SIZES)?,
        sizes => sizes,
    };
    if sizes.len() != count {
        return Err(wrong(FILE_SIZES, "one number for each item"));
    }
    let capabilities = header.texts(FILE_CAPABILITIES)?;
    let arrays = FileArrays {
        sizes,
        modes: header.numbers_of(FILE_MODES, count)?,
        times: header.numbers_of(FILE_TIMES, count)?,
        digests: header.texts_of(FILE_DIGESTS, count)?,
        links: header.texts_of(FILE_LINKS, count)?,
        flags: header.numbers_of(FILE_FLAGS, count)?,
        users: header.texts_of(FILE_USERS, count)?,
        groups: header.texts_of(FILE_GROUPS, count)?,
        capabilities,
    };
    if !capabilities.is_empty() && capabilities.len() != count {
        return Err(wrong(FILE_CAPABILITIES, "one text for each item"));
    }
    let directories = header.texts(DIRECTORY_NAMES)?;
    let indexes = header.numbers_of(DIRECTORY_INDEXES, count)?;
    let mut files = Vec::with_capacity(count);
    for (position, (name, index)) in names.iter().zip(indexes).enumerate() {
        let directory = directories
            .get(index as usize)
            .ok_or_else(|| wrong(DIRECTORY_INDEXES, "indexes of directories"))?;
        files.push(read_file(&arrays, position, format!("{directory}{name}"))?);
    }
    Ok(files)
}

/// `position` is below the arrays' common length.
fn read_file(
    arrays: &FileArrays<'_>,
    position: usize,
    path: String,
) -> Result<PackagedFile, RpmError> {
    let mode = arrays.modes[position];
    let kind = match mode >> 12 {
        0o10 => PackagedFileKind::Regular {
            digest: read_digest(&arrays.digests[position], &path)?,
        },
        0o04 => PackagedFileKind::Directory,
        0o12 => PackagedFileKind::Link {
            target: arrays.links[position].clone(),
        },
        _ => PackagedFileKind::Special,
    };
    let capabilities = arrays
        .capabilities
        .get(position)
        .filter(|text| !text.is_empty());
    Ok(PackagedFile {
        path,
        kind,
        mode: u16::try_from(mode & 0o7777).expect("twelve bits fit"),
        size: arrays.sizes[position],
        modified: arrays.times[position],
        user: arrays.users[position].clone(),
        group: arrays.groups[position].clone(),
        flags: arrays.flags[position],
        capabilities: capabilities.cloned(),
    })
}

fn read_digest(stated: &str, path: &str) -> Result<Option<Digest>, RpmError> {
    if stated.is_empty() {
        return Ok(None);
    }
    Digest::from_hex(stated)
        .map(Some)
        .map_err(|reason| RpmError::Digest {
            part: path.to_owned(),
            reason,
        })
}

/// A scriptlet of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagedScriptlet {
    /// The spec section that it comes from: `%post`.
    pub section: &'static str,
    /// The interpreter and its arguments; empty means `/bin/sh`.
    pub program: Vec<String>,
    /// Its text; empty where the program is everything.
    pub body: String,
}

/// Section, tag of the body, tag of the program; in the order of a transaction.
const SCRIPTLETS: [(&str, u32, u32); 7] = [
    ("%pretrans", 1151, 1153),
    ("%pre", 1023, 1085),
    ("%post", 1024, 1086),
    ("%preun", 1025, 1087),
    ("%postun", 1026, 1088),
    ("%posttrans", 1152, 1154),
    ("%verifyscript", 1079, 1091),
];

pub(super) fn read_scriptlets(header: &Header) -> Result<Vec<PackagedScriptlet>, RpmError> {
    let mut scriptlets = Vec::new();
    for (section, body, program) in SCRIPTLETS {
        let body = header.text(body)?;
        let program = header.texts(program)?;
        if body.is_some() || !program.is_empty() {
            scriptlets.push(PackagedScriptlet {
                section,
                program: program.to_vec(),
                body: body.unwrap_or_default().to_owned(),
            });
        }
    }
    Ok(scriptlets)
}
