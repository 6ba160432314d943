//! What can be said of a host without making a sandbox on it.

/// The oldest kernel that has everything that a sandbox needs: `mount_setattr` came with it.
pub const OLDEST_KERNEL: (u32, u32) = (5, 12);

/// Settings that forbid or limit user namespaces. The first and the last are not on every kernel.
const NAMESPACE_SETTINGS: &[&str] = &[
    "kernel.unprivileged_userns_clone",
    "user.max_user_namespaces",
    "kernel.apparmor_restrict_unprivileged_userns",
];

/// Returns the kernel's release: `6.1.0-18-amd64`.
#[must_use]
pub fn kernel() -> String {
    let names = rustix::system::uname();
    names.release().to_string_lossy().into_owned()
}

/// Returns whether a kernel of this release can seal steps; `None` when the release says nothing.
#[must_use]
pub fn is_kernel_new_enough(release: &str) -> Option<bool> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next()?.parse::<u32>().ok();
    Some((next()?, next()?) >= OLDEST_KERNEL)
}

/// Returns the settings of this host that forbid or limit user namespaces, with their values.
#[must_use]
pub fn namespace_settings() -> Vec<(&'static str, String)> {
    let known = NAMESPACE_SETTINGS.iter();
    known
        .filter_map(|name| Some((*name, setting(name)?)))
        .collect()
}

/// Returns a setting's value by its name, `user.max_user_namespaces`.
pub(crate) fn setting(name: &str) -> Option<String> {
    let file = format!("/proc/sys/{}", name.replace('.', "/"));
    let text = fs_err::read_to_string(file).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_by_number() {
        for (release, expected) in [
            ("5.12.0", Some(true)),
            ("5.11.22-generic", Some(false)),
            ("5.9.1", Some(false)),
            ("6.1.0-18-amd64", Some(true)),
            ("4.18.0-553.el8_10.x86_64", Some(false)),
            ("10.0", Some(true)),
            ("unknown", None),
            ("", None),
        ] {
            assert_eq!(is_kernel_new_enough(release), expected, "{release}");
        }
        assert_eq!(is_kernel_new_enough(&kernel()), Some(true));
    }
}
