//! The texts that kiln writes for services: files of its own, and pieces of scriptlets.
//!
//! The pieces have the effect of Fedora's `%systemd_post`, `%systemd_preun`,
//! `%systemd_postun_with_restart`, `%sysusers_create_compat` and `%tmpfiles_create`, but need none of
//! their helpers: each asks whether the host has a tool before it calls it, so that one text works on
//! Fedora, on EL 8 and 9, on Debian with rpm, in containers without systemd and while an image is
//! made. They are POSIX shell; no line begins with `%`, which rpm would take for its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kiln_model::recipe::{AccountName, OnUpgrade, Package, SystemUser, SystemdUnit, UnitPreset};

/// Comes before what distributions put in their own presets (80 to 99), and after what a site does.
const PRESET_RANK: &str = "80";

/// Returns where a package's sysusers.d file lies.
pub(super) fn sysusers_path(package: &Package) -> String {
    format!("/usr/lib/sysusers.d/{}.conf", package.name)
}

/// Returns where a package's tmpfiles.d file lies.
pub(super) fn tmpfiles_path(package: &Package) -> String {
    format!("/usr/lib/tmpfiles.d/{}.conf", package.name)
}

/// Returns where a package's limits lie.
pub(super) fn limits_path(package: &Package) -> String {
    format!("/etc/security/limits.d/{}.conf", package.name)
}

/// Returns where a package's presets lie.
pub(super) fn preset_path(package: &Package) -> String {
    format!(
        "/usr/lib/systemd/system-preset/{PRESET_RANK}-{}.preset",
        package.name
    )
}

/// Returns the lines of a sysusers.d file, or nothing without users.
pub(super) fn sysusers(users: &[SystemUser]) -> String {
    let mut text = String::new();
    for user in users {
        let SystemUser { name, group, .. } = user;
        let id = user.id.map(|id| id.to_string());
        let id = if group == name {
            id.unwrap_or_else(|| "-".to_owned())
        } else {
            let _ = writeln!(text, "g {group} -");
            format!("{}:{group}", id.as_deref().unwrap_or("-"))
        };
        let comment = match &user.comment {
            Some(comment) => format!("\"{comment}\""),
            None => "-".to_owned(),
        };
        let home = user.home.as_ref().map_or("/", |home| home.as_str());
        let _ = writeln!(text, "u {name} {id} {comment} {home} {}", user.shell);
        for further in &user.groups {
            let _ = writeln!(text, "m {name} {further}");
        }
    }
    text
}

/// Returns the lines of a tmpfiles.d file, or nothing.
pub(super) fn tmpfiles(package: &Package) -> String {
    let lines = package.services.tmpfiles.iter();
    lines.map(|line| format!("{}\n", line.as_str())).collect()
}

/// Returns the lines of a limits.d file, or nothing.
pub(super) fn limits(package: &Package) -> String {
    let mut text = String::new();
    for limit in &package.services.limits {
        let (user, item) = (&limit.user, limit.item.word());
        for (kind, value) in [("soft", limit.soft), ("hard", limit.hard)] {
            if let Some(value) = value {
                let _ = writeln!(text, "{user} {kind} {item} {value}");
            }
        }
    }
    text
}

/// Returns the lines of a preset file, or nothing without units.
///
/// A unit that nothing is said about is enabled by systemd and disabled by most distributions: so
/// every one is named. Instances stand behind their template.
pub(super) fn presets(package: &Package) -> String {
    let mut instances: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut plain = Vec::new();
    for unit in &package.services.systemd {
        let word = match unit.preset {
            UnitPreset::Enable => "enable",
            UnitPreset::Disable => "disable",
        };
        let instance = unit
            .unit
            .as_str()
            .split_once('@')
            .and_then(|(_, rest)| rest.rsplit_once('.'))
            .map_or("", |(instance, _)| instance);
        if instance.is_empty() || unit.preset == UnitPreset::Disable {
            plain.push(format!("{word} {}", unit.unit));
        } else {
            let template = format!("{word} {}", unit.unit.file());
            instances.entry(template).or_default().push(instance);
        }
    }
    let with_instances = instances
        .into_iter()
        .map(|(template, instances)| format!("{template} {}", instances.join(" ")));
    let lines = plain.into_iter().chain(with_instances);
    lines.map(|line| line + "\n").collect()
}

/// Puts a text between single quotes where the shell would read something into it.
fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._+-@:,=".contains(c));
    if is_plain {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Creates users: `%pre`.
///
/// What `systemd-sysusers` did not do, because it is not there or too old, is done by hand.
pub(super) fn create_users(package: &Package) -> Option<String> {
    let users = &package.services.users;
    if users.is_empty() {
        return None;
    }
    let mut text = format!(
        "# The users of {}.\n\
         if command -v systemd-sysusers >/dev/null 2>&1; then\n\
         \x20 systemd-sysusers --replace={} - >/dev/null 2>&1 <<'END_OF_USERS' || :\n\
         {}END_OF_USERS\n\
         fi\n",
        package.name,
        sysusers_path(package),
        sysusers(users)
    );
    for user in users {
        create_user(&mut text, user);
    }
    Some(text)
}

fn create_user(text: &mut String, user: &SystemUser) {
    let SystemUser { name, group, .. } = user;
    let own_id = user.id.filter(|_| group == name);
    create_group(text, group, own_id);
    let home = user.home.as_ref().map_or("/", |home| home.as_str());
    let comment = user.comment.as_ref().map_or_else(String::new, |comment| {
        format!("-c {} ", quoted(comment.as_str()))
    });
    let create = format!(
        "useradd -r -M {{id}}-g {group} -d {} -s {} {comment}{name}",
        quoted(home),
        quoted(user.shell.as_str())
    );
    let _ = writeln!(text, "if ! getent passwd {name} >/dev/null 2>&1; then");
    write_creation(text, "passwd", user.id.map(|id| (id, "-u")), &create);
    text.push_str("fi\n");
    for further in &user.groups {
        create_group(text, further, None);
        let _ = write!(
            text,
            "case \" $(id -nG {name} 2>/dev/null) \" in\n\
             \x20 *' {further} '*) ;;\n\
             \x20 *) usermod -a -G {further} {name} >/dev/null 2>&1 || : ;;\n\
             esac\n"
        );
    }
    // Files of an owner who is not there would silently become root's.
    let _ = write!(
        text,
        "if ! getent passwd {name} >/dev/null 2>&1; then\n\
         \x20 echo 'The user {name} could not be created: neither systemd-sysusers nor useradd works here.' >&2\n\
         \x20 exit 1\n\
         fi\n"
    );
}

fn create_group(text: &mut String, group: &AccountName, id: Option<u32>) {
    let _ = writeln!(text, "if ! getent group {group} >/dev/null 2>&1; then");
    let create = format!("groupadd -r {{id}}{group}");
    write_creation(text, "group", id.map(|id| (id, "-g")), &create);
    text.push_str("fi\n");
}

/// Writes a command with its fixed number, unless another account has that already.
fn write_creation(text: &mut String, database: &str, id: Option<(u32, &str)>, command: &str) {
    let plain = command.replace("{id}", "");
    let line = |indent: &str, command: &str| format!("{indent}{command} >/dev/null 2>&1 || :\n");
    let Some((id, option)) = id else {
        text.push_str(&line("  ", &plain));
        return;
    };
    let numbered = command.replace("{id}", &format!("{option} {id} "));
    let _ = write!(
        text,
        "  if getent {database} {id} >/dev/null 2>&1; then\n{}  else\n{}  fi\n",
        line("    ", &plain),
        line("    ", &numbered)
    );
}

/// Makes folders and files of the tmpfiles.d file: `%post`.
pub(super) fn apply_tmpfiles(package: &Package) -> Option<String> {
    if package.services.tmpfiles.is_empty() {
        return None;
    }
    Some(format!(
        "# What {path} makes at boot is made now, too.\n\
         if command -v systemd-tmpfiles >/dev/null 2>&1; then\n\
         \x20 systemd-tmpfiles --create {}.conf || :\n\
         fi\n",
        package.name,
        path = tmpfiles_path(package),
    ))
}

fn names(units: &[SystemdUnit], name: impl Fn(&SystemdUnit) -> String) -> String {
    let names: Vec<String> = units.iter().map(|unit| quoted(&name(unit))).collect();
    names.join(" ")
}

/// Announces units, and applies presets at the first installation: `%post`.
pub(super) fn install_units(package: &Package) -> Option<String> {
    let units = &package.services.systemd;
    if units.is_empty() {
        return None;
    }
    Some(format!(
        "# The units of {}.\n\
         if command -v systemctl >/dev/null 2>&1; then\n\
         \x20 if [ -d /run/systemd/system ]; then\n\
         \x20   systemctl daemon-reload >/dev/null 2>&1 || :\n\
         \x20 fi\n\
         \x20 if [ \"$1\" -eq 1 ]; then\n\
         \x20   # Installed, not upgraded.\n\
         \x20   for unit in {}; do\n\
         \x20     systemctl --no-reload preset \"$unit\" >/dev/null 2>&1 || :\n\
         \x20   done\n\
         \x20 fi\n\
         fi\n",
        package.name,
        names(units, |unit| unit.unit.to_string())
    ))
}

/// Stops and disables units before they are removed: `%preun`.
pub(super) fn remove_units(package: &Package) -> Option<String> {
    let units = &package.services.systemd;
    if units.is_empty() {
        return None;
    }
    Some(format!(
        "# The units of {}.\n\
         if [ \"$1\" -eq 0 ] && command -v systemctl >/dev/null 2>&1; then\n\
         \x20 # Removed, not upgraded.\n\
         \x20 for unit in {}; do\n\
         \x20   systemctl --no-reload disable \"$unit\" >/dev/null 2>&1 || :\n\
         \x20 done\n\
         \x20 if [ -d /run/systemd/system ]; then\n\
         \x20   systemctl stop {} >/dev/null 2>&1 || :\n\
         \x20 fi\n\
         fi\n",
        package.name,
        names(units, |unit| unit.unit.to_string()),
        names(units, |unit| unit.unit.running())
    ))
}

/// Lets systemd forget removed units, and restarts upgraded ones that run: `%postun`.
pub(super) fn forget_units(package: &Package) -> Option<String> {
    let units = &package.services.systemd;
    if units.is_empty() {
        return None;
    }
    let restarted: Vec<SystemdUnit> = units
        .iter()
        .filter(|unit| unit.on_upgrade == OnUpgrade::Restart)
        .cloned()
        .collect();
    let mut text = format!(
        "# The units of {}.\n\
         if [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; then\n\
         \x20 systemctl daemon-reload >/dev/null 2>&1 || :\n",
        package.name
    );
    if !restarted.is_empty() {
        let _ = write!(
            text,
            "  if [ \"$1\" -ge 1 ]; then\n\
             \x20   # Upgraded, not removed.\n\
             \x20   systemctl try-restart {} >/dev/null 2>&1 || :\n\
             \x20 fi\n",
            names(&restarted, |unit| unit.unit.running())
        );
    }
    text.push_str("fi\n");
    Some(text)
}

/// Offers what the package has for links that programs share: `%post`.
pub(super) fn offer_alternatives(package: &Package) -> Option<String> {
    let alternatives = &package.services.alternatives;
    if alternatives.is_empty() {
        return None;
    }
    let mut text = format!(
        "# The alternatives of {}.\nif command -v update-alternatives >/dev/null 2>&1; then\n",
        package.name
    );
    for alternative in alternatives {
        let _ = writeln!(
            text,
            "  update-alternatives --install {} {} {} {} >/dev/null || :",
            quoted(alternative.link.as_str()),
            quoted(&alternative.name),
            quoted(alternative.path.as_str()),
            alternative.priority
        );
    }
    text.push_str("else\n");
    for alternative in alternatives {
        let _ = writeln!(
            text,
            "  echo {} >&2",
            quoted(&format!(
                "{}: this host has no update-alternatives: {} was not made.",
                package.name, alternative.link
            ))
        );
    }
    text.push_str("fi\n");
    Some(text)
}

/// Takes the offer back when the package is removed: `%postun`, when rpm has removed the link that the
/// package owned, so that it comes back where somebody else has an offer.
pub(super) fn withdraw_alternatives(package: &Package) -> Option<String> {
    let alternatives = &package.services.alternatives;
    if alternatives.is_empty() {
        return None;
    }
    let mut text = format!(
        "# The alternatives of {}.\n\
         if [ \"$1\" -eq 0 ] && command -v update-alternatives >/dev/null 2>&1; then\n",
        package.name
    );
    for alternative in alternatives {
        let _ = writeln!(
            text,
            "  update-alternatives --remove {} {} >/dev/null 2>&1 || :",
            quoted(&alternative.name),
            quoted(alternative.path.as_str())
        );
    }
    text.push_str("fi\n");
    Some(text)
}
