//! Brings `lo` up: test suites talk to themselves over 127.0.0.1 and ::1.
//!
//! One rtnetlink request, RTM_NEWLINK with IFF_UP for interface 1, and its acknowledgement.
//! ```text
//! 0  u32 length 32   4 u16 type 16   6 u16 flags REQUEST|ACK   8 u32 sequence  12 u32 port
//! 16 u8 family 0    18 u16 type 0   20 i32 index 1   24 u32 flags UP   28 u32 change UP
//! ```

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

use super::{Act, call};
use crate::protocol::Fault;

/// The index of `lo` in every new network namespace.
const LOOPBACK: i32 = 1;
const LENGTH: u32 = 32;
const RTM_NEWLINK: u16 = 16;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const REQUEST_WITH_ACK: u16 = 0x5;
const IFF_UP: u32 = 1;
/// `NLMSG_ERROR`, the type of an acknowledgement too (with error 0).
const NLMSG_ERROR: u16 = 2;

/// Brings the loopback interface of the current network namespace up.
pub(super) fn bring_loopback_up() -> Act<()> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // Protocol 0 of this family is NETLINK_ROUTE.
        None,
    )
    .map_err(call("socket(AF_NETLINK)"))?;
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&socket, &request(), SendFlags::empty(), &kernel).map_err(call("sendto(AF_NETLINK)"))?;
    let mut answer = [0; 128];
    let (length, _) =
        recv(&socket, &mut answer, RecvFlags::empty()).map_err(call("recv(AF_NETLINK)"))?;
    match acknowledgement(&answer[..length]) {
        Some(0) => Ok(()),
        Some(errno) => Err(Fault::Call {
            what: "bringing the loopback interface up".to_owned(),
            errno,
        }),
        None => Err(Fault::NotSealed {
            what: "network".to_owned(),
            found: "an unknown answer to RTM_NEWLINK".to_owned(),
        }),
    }
}

fn request() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LENGTH as usize);
    bytes.extend_from_slice(&LENGTH.to_ne_bytes());
    bytes.extend_from_slice(&RTM_NEWLINK.to_ne_bytes());
    bytes.extend_from_slice(&REQUEST_WITH_ACK.to_ne_bytes());
    bytes.extend_from_slice(&1_u32.to_ne_bytes());
    bytes.extend_from_slice(&0_u32.to_ne_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&LOOPBACK.to_ne_bytes());
    bytes.extend_from_slice(&IFF_UP.to_ne_bytes());
    bytes.extend_from_slice(&IFF_UP.to_ne_bytes());
    bytes
}

/// Returns the error number that an acknowledgement carries.
fn acknowledgement(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let error = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (kind == NLMSG_ERROR).then_some(error.saturating_neg())
}
