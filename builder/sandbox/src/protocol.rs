//! What the engine says to the fork server, and to each init that was forked for it.
//!
//! ```text
//! engine -> server   one byte, with init's end of a new socket and the log's end of a pipe
//! server -> engine   i32 little endian: init's pid, with a pidfd of it; or an errno, negative
//!
//! frame = length of the JSON text, u32 little endian | JSON text
//! engine -> init     one Handover
//! init -> engine     Born (with a pidfd of pid 1), then Sealed, then Ended; or Failed at any point
//! ```
//! The step never holds a socket: they are close-on-exec, and pid 1 can not be traced by the step.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use kiln_model::{Measured, SealedStep, host_path};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recv, recvmsg, send, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest frame: a step with 500 layers and long paths stays far below.
const FRAME_LIMIT: usize = 16 << 20;
/// The most handles that travel with one message.
const HANDLES: usize = 2;
/// What asks the fork server for an init.
pub(crate) const FORK: u8 = b'f';

/// What init is asked to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Handover {
    /// The fork server's pid: init ends when it finds another parent.
    pub server: u32,
    /// Namespace links of the engine (`net` -> `net:[4026531840]`): init's must differ.
    pub namespaces: BTreeMap<String, String>,
    /// Files by which init joins its control groups before it leaves the host's cgroup namespace.
    #[serde(with = "host_path::list")]
    pub cgroups: Vec<PathBuf>,
    /// The run.
    pub step: SealedStep,
    /// `personality(2)` of everything in the sandbox.
    pub personality: u32,
    /// What to do once sealed.
    pub purpose: Purpose,
}

/// Why a sandbox is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// To run the step's command, with nothing to read.
    Run,
    /// To run it on the terminal that init's standard output is.
    Terminal,
    /// To find out whether one can be made; an empty root is used and nothing is executed.
    Probe,
}

/// What init tells.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// Pid 1 exists; its pidfd travels with this frame.
    Born,
    /// The sandbox is closed; these means of isolation were seen in effect from inside.
    Sealed(Evidence),
    /// Something failed, and the step did not run.
    Failed(Fault),
    /// The step ended and everything it left was killed and reaped.
    Ended {
        /// How.
        end: ProgramEnd,
        /// Greatest resident size of one process, in bytes.
        peak_memory: u64,
    },
}

/// How a program ended by itself.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum ProgramEnd {
    Exited(i32),
    Signaled(i32),
}

/// What pid 1 saw of its own isolation.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Evidence {
    pub network: Measured,
    pub filesystem: Measured,
    pub processes: Measured,
    pub privileges: Measured,
    pub user_namespace: Measured,
}

/// Why a sandbox could not be made or its program not be started. `errno` is the kernel's number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fault {
    /// `unshare` of one namespace.
    Namespace { namespace: String, errno: i32 },
    /// Writing `/proc/self/uid_map` and its kin.
    IdMap { file: String, errno: i32 },
    /// Opening a tree of the root file system.
    Layer {
        #[serde(with = "host_path")]
        path: PathBuf,
        errno: i32,
    },
    /// Mounting the overlay.
    Overlay { layers: usize, errno: i32 },
    /// Opening a mount's source.
    Source {
        #[serde(with = "host_path")]
        path: PathBuf,
        errno: i32,
    },
    /// A mount's source that is no folder and no regular file.
    SourceKind {
        #[serde(with = "host_path")]
        path: PathBuf,
        kind: String,
    },
    /// Finding or making the place of a mount.
    Target {
        path: String,
        at: String,
        errno: i32,
    },
    /// A place of a mount that is of the wrong kind.
    TargetKind {
        path: String,
        at: String,
        kind: String,
    },
    /// Mounting a fresh `/proc`.
    Proc { errno: i32 },
    /// A device of the host that is missing or is something else.
    Device { name: String, reason: String },
    /// Any other mount.
    Mount { what: String, errno: i32 },
    /// Any other system call.
    Call { what: String, errno: i32 },
    /// Compiling or loading the system call filter.
    Filter { reason: String },
    /// A means of isolation that was not seen in effect.
    NotSealed { what: String, found: String },
    /// The step's folder.
    WorkingDirectory { path: String, errno: i32 },
    /// The step's program.
    Program { path: String, errno: i32 },
    /// A bug in init.
    Crash { message: String },
}

/// Encodes and sends one frame, whole.
pub(crate) fn write_frame(socket: BorrowedFd<'_>, value: &impl Serialize) -> io::Result<()> {
    send_all(socket, &frame(value)?)
}

/// Sends all bytes; a reader that is gone is an error, not a signal.
pub(crate) fn send_all(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match send(socket, rest, SendFlags::NOSIGNAL) {
            Ok(sent) => rest = &rest[sent..],
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Sends bytes that fit into one message, and handles with them.
pub(crate) fn send_with(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    handles: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HANDLES))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(handles));
    let part = [io::IoSlice::new(bytes)];
    let send = || sendmsg(socket, &part, &mut ancillary, SendFlags::NOSIGNAL);
    if rustix::io::retry_on_intr(send)? == bytes.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

/// What one message brought.
pub(crate) struct Received {
    /// How many bytes.
    pub length: usize,
    /// The handles that came with them.
    pub handles: Vec<OwnedFd>,
    /// Whether handles were lost: this process has too many open.
    pub has_lost_handles: bool,
}

/// Waits for bytes, at most as many as `buffer` has room for, and the handles that come with them.
pub(crate) fn receive_with(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> rustix::io::Result<Received> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HANDLES))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [io::IoSliceMut::new(buffer)];
    let received = recvmsg(socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let handles = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(handles) => handles.collect(),
        _ => Vec::new(),
    });
    Ok(Received {
        length: received.bytes,
        handles: handles.collect(),
        has_lost_handles: received.flags.contains(ReturnFlags::CTRUNC),
    })
}

/// Encodes one frame.
pub(crate) fn frame(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(value)?;
    let length = u32::try_from(json.len())
        .ok()
        .filter(|length| *length as usize <= FRAME_LIMIT)
        .ok_or_else(|| io::Error::other(format!("a frame of {} bytes is too long", json.len())))?;
    let mut frame = length.to_le_bytes().to_vec();
    frame.extend_from_slice(&json);
    Ok(frame)
}

/// Takes the first whole frame out of `buffer`, if there is one.
pub(crate) fn take_frame<T: DeserializeOwned>(buffer: &mut Vec<u8>) -> io::Result<Option<T>> {
    let Some(head) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*head) as usize;
    if length > FRAME_LIMIT {
        return Err(io::Error::other(format!("a frame claims {length} bytes")));
    }
    let Some(json) = buffer.get(4..4 + length) else {
        return Ok(None);
    };
    let value = serde_json::from_slice(json)?;
    buffer.drain(..4 + length);
    Ok(Some(value))
}

/// Waits for one frame.
pub(crate) fn read_frame<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<T> {
    let mut head = [0; 4];
    read_exact(socket, &mut head)?;
    let length = u32::from_le_bytes(head) as usize;
    if length > FRAME_LIMIT {
        return Err(io::Error::other(format!("a frame claims {length} bytes")));
    }
    let mut json = vec![0; length];
    read_exact(socket, &mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

fn read_exact(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match recv(socket, &mut buffer[filled..], RecvFlags::empty()) {
            Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((count, _)) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
