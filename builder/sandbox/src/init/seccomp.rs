//! The system call filter: what a build never needs, and what the kernel's other checks hang on.
//!
//! Everything is allowed but what is listed here. A refusal carries the error that programs expect:
//!
//! | answer | for |
//! |---|---|
//! | `EPERM` | what an unprivileged user is refused anyway, so that nobody falls back on it |
//! | `ENOSYS` | newer calls that libc or a program does without: `clone3` (whose flags a filter can not see), `io_uring`, … |
//! | `EAFNOSUPPORT` | sockets of other families than unix, inet, inet6, netlink; multipath TCP |
//! | killed | another ABI of the same kernel (i386); x32 gets `ENOSYS` |
//!
//! `ptrace` and `process_vm_*` stay: they reach only the step's own processes, pid 1 excepted, which
//! is not dumpable. `personality` may be asked for, reset or told not to randomize addresses.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

use super::Act;
use crate::protocol::Fault;

/// Refused with `EPERM`, whatever the arguments.
const REFUSED: &[libc::c_long] = &[
    // Namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    // Files by handle instead of by path.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // The kernel: code, keys, events, clocks, accounting, power.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    // Other processes' memory placement and descriptors.
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
];

/// Refused with `EPERM` where the architecture has them.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[libc::c_long] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_kexec_file_load,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
];
/// Refused with `EPERM` where the architecture has them.
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[libc::c_long] = &[libc::SYS_kexec_file_load];

/// Answered with `ENOSYS`.
const UNKNOWN: &[libc::c_long] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_memfd_secret,
];

/// `clone` flags that make a namespace.
const NAMESPACE_FLAGS: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// `ioctl` requests: typing into a terminal, taking the console, flags that outlive a build.
const REFUSED_REQUESTS: [u64; 5] = [
    0x5412,      // TIOCSTI
    0x541C,      // TIOCLINUX
    0x541D,      // TIOCCONS
    0x4008_6602, // FS_IOC_SETFLAGS
    0x401C_5820, // FS_IOC_FSSETXATTR
];

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
const NEW_LISTENER: u64 = 8;
const ADDR_NO_RANDOMIZE: u64 = 0x004_0000;
/// Asks `personality` for the current value.
const PERSONALITY_QUERY: u64 = 0xFFFF_FFFF;
const IPPROTO_MPTCP: u64 = 262;
const FAMILIES: [libc::c_int; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];
/// Bit of every x32 system call number.
const X32_BIT: u32 = 0x4000_0000;

type Rules = BTreeMap<libc::c_long, Vec<SeccompRule>>;
type Compiled<T> = Result<T, seccompiler::BackendError>;

/// The compiled filter: the same for every sandbox.
pub(super) struct Filter(Vec<BpfProgram>);

impl Filter {
    pub(super) fn compile() -> Act<Self> {
        compile().map(Self).map_err(fault)
    }

    /// Loads the filter into this process; it holds for everything that it will start.
    pub(super) fn load(&self) -> Act<()> {
        self.0
            .iter()
            .try_for_each(|program| apply_filter(program).map_err(fault))
    }
}

fn fault(error: impl std::fmt::Display) -> Fault {
    Fault::Filter {
        reason: error.to_string(),
    }
}

fn compile() -> Compiled<Vec<BpfProgram>> {
    let architecture: TargetArch = std::env::consts::ARCH.try_into()?;
    let program = |rules: Rules, answer: libc::c_int| -> Compiled<BpfProgram> {
        SeccompFilter::new(
            rules,
            SeccompAction::Allow,
            SeccompAction::Errno(answer.unsigned_abs()),
            architecture,
        )?
        .try_into()
    };
    let mut programs = vec![
        program(refused()?, libc::EPERM)?,
        program(
            UNKNOWN.iter().map(|call| (*call, Vec::new())).collect(),
            libc::ENOSYS,
        )?,
        program(sockets()?, libc::EAFNOSUPPORT)?,
    ];
    if cfg!(target_arch = "x86_64") {
        programs.push(without_x32());
    }
    Ok(programs)
}

fn refused() -> Compiled<Rules> {
    let mut rules: Rules = REFUSED
        .iter()
        .chain(REFUSED_HERE)
        .map(|call| (*call, Vec::new()))
        .collect();
    let namespaces = NAMESPACE_FLAGS
        .iter()
        .map(|flag| {
            let flag = u64::from(flag.unsigned_abs());
            rule(&[has_bits(0, flag)?])
        })
        .collect::<Compiled<_>>()?;
    rules.insert(libc::SYS_clone, namespaces);
    let requests = REFUSED_REQUESTS
        .iter()
        .map(|request| rule(&[equals(1, *request)?]))
        .collect::<Compiled<_>>()?;
    rules.insert(libc::SYS_ioctl, requests);
    let personality = rule(&[
        differs(0, 0)?,
        differs(0, ADDR_NO_RANDOMIZE)?,
        differs(0, PERSONALITY_QUERY)?,
    ])?;
    rules.insert(libc::SYS_personality, vec![personality]);
    rules.insert(
        libc::SYS_seccomp,
        vec![rule(&[has_bits(1, NEW_LISTENER)?])?],
    );
    Ok(rules)
}

fn sockets() -> Compiled<Rules> {
    let other_family = || -> Compiled<SeccompRule> {
        let conditions = FAMILIES
            .iter()
            .map(|family| differs(0, u64::from(family.unsigned_abs())))
            .collect::<Compiled<Vec<_>>>()?;
        rule(&conditions)
    };
    let multipath = |family: libc::c_int| {
        rule(&[
            equals(0, u64::from(family.unsigned_abs()))?,
            equals(2, IPPROTO_MPTCP)?,
        ])
    };
    let socket = vec![
        other_family()?,
        multipath(libc::AF_INET)?,
        multipath(libc::AF_INET6)?,
    ];
    Ok(Rules::from([
        (libc::SYS_socket, socket),
        (libc::SYS_socketpair, vec![other_family()?]),
    ]))
}

fn rule(conditions: &[SeccompCondition]) -> Compiled<SeccompRule> {
    SeccompRule::new(conditions.to_vec())
}

/// All arguments compared here are 32 bits wide for the kernel, which ignores the upper half: a
/// comparison of 64 bits could be passed by setting one of those.
fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Compiled<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

fn equals(argument: u8, value: u64) -> Compiled<SeccompCondition> {
    condition(argument, SeccompCmpOp::Eq, value)
}

fn differs(argument: u8, value: u64) -> Compiled<SeccompCondition> {
    condition(argument, SeccompCmpOp::Ne, value)
}

fn has_bits(argument: u8, bits: u64) -> Compiled<SeccompCondition> {
    condition(argument, SeccompCmpOp::MaskedEq(bits), bits)
}

/// x32 shares the architecture's number with x86_64 and would pass a list of numbers.
fn without_x32() -> BpfProgram {
    const LOAD_NUMBER: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS, offset 0
    const JUMP_IF_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const ALLOW: u32 = 0x7FFF_0000;
    const ERRNO: u32 = 0x0005_0000;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_IF_AT_LEAST, 0, 1, X32_BIT),
        step(RETURN, 0, 0, ERRNO | libc::ENOSYS.unsigned_abs()),
        step(RETURN, 0, 0, ALLOW),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_compiles_for_this_architecture() {
        let programs = compile().unwrap();
        assert!(programs.iter().all(|program| !program.is_empty()));
        let rules = refused().unwrap();
        assert_eq!(rules.len(), REFUSED.len() + REFUSED_HERE.len() + 4);
    }
}
