//! From the shape of what turns a package into a service to its meaning.

use super::{Parsed, parse_all, parse_some};
use crate::path::SandboxPath;
use crate::recipe::error::Cause;
use crate::recipe::schema::{
    AlternativeSchema, InstallSchema, LimitItemSchema, LimitSchema, PackageSchema,
    PresetChoiceSchema, UnitSchema, UpgradeSchema, UserSchema,
};
use crate::recipe::service::{
    AccountName, Alternative, InstalledFile, Limit, LimitItem, LimitValue, OnUpgrade, Permissions,
    ServiceError, Services, SystemUser, SystemdUnit, UnitPreset, is_system_account,
};
use crate::recipe::yaml::At;
use crate::text::Line;

pub(super) fn services(text: &str, shape: &PackageSchema) -> Parsed<Services> {
    let services = Services {
        install: each(&shape.install, |item| install(text, item))?,
        systemd: each(&shape.systemd, unit)?,
        users: each(&shape.users, |item| user(text, item))?,
        tmpfiles: parse_all(&shape.tmpfiles)?,
        limits: each(&shape.limits, limit)?,
        alternatives: each(&shape.alternatives, |item| alternative(text, item))?,
    };
    refuse_repetition(shape)?;
    Ok(services)
}

fn each<S, T>(shapes: &[S], parse: impl Fn(&S) -> Parsed<T>) -> Parsed<Vec<T>> {
    shapes.iter().map(parse).collect()
}

fn refuse_repetition(shape: &PackageSchema) -> Parsed<()> {
    let lists: [(&'static str, Vec<&At<String>>); 4] = [
        (
            "installed file",
            shape.install.iter().map(|item| &item.to).collect(),
        ),
        (
            "unit",
            shape.systemd.iter().map(|item| &item.unit).collect(),
        ),
        ("user", shape.users.iter().map(|item| &item.name).collect()),
        (
            "link",
            shape.alternatives.iter().map(|item| &item.link).collect(),
        ),
    ];
    for (what, names) in lists {
        for (index, name) in names.iter().enumerate() {
            if names[..index].iter().any(|first| first.value == name.value) {
                let name_text = name.value.clone();
                return Err(name.error(Cause::Twice {
                    what,
                    name: name_text,
                }));
            }
        }
    }
    Ok(())
}

fn permissions(
    text: &str,
    shape: Option<&At<String>>,
    default: Permissions,
) -> Parsed<Permissions> {
    let Some(shape) = shape else {
        return Ok(default);
    };
    if !shape.is_quoted(text) {
        return Err(shape.error(ServiceError::Permissions {
            text: shape.value.clone(),
        }));
    }
    shape.parse()
}

fn install(text: &str, shape: &InstallSchema) -> Parsed<InstalledFile> {
    Ok(InstalledFile {
        file: shape.file.file_reference()?,
        to: shape.to.parse()?,
        mode: permissions(text, shape.mode.as_ref(), Permissions::FILE)?,
    })
}

fn unit(shape: &UnitSchema) -> Parsed<SystemdUnit> {
    Ok(SystemdUnit {
        unit: shape.unit.parse()?,
        preset: match shape.preset {
            Some(PresetChoiceSchema::Enable) => UnitPreset::Enable,
            Some(PresetChoiceSchema::Disable) | None => UnitPreset::Disable,
        },
        on_upgrade: match shape.on_upgrade {
            Some(UpgradeSchema::Restart) | None => OnUpgrade::Restart,
            Some(UpgradeSchema::Keep) => OnUpgrade::Keep,
        },
    })
}

fn user(text: &str, shape: &UserSchema) -> Parsed<SystemUser> {
    let name: AccountName = shape.name.parse()?;
    if is_system_account(name.as_str()) {
        let name = shape.name.value.clone();
        return Err(shape.name.error(ServiceError::ReservedAccount { name }));
    }
    let id = match &shape.id {
        Some(number) => Some(number.number(text, 1)?),
        None => None,
    };
    if let (Some(shape), Some(id @ 65534..)) = (&shape.id, id) {
        return Err(shape.error(ServiceError::UserId { id }));
    }
    if let (Some(mode), None) = (&shape.log_mode, &shape.log_directory) {
        return Err(mode.error(Cause::Needed {
            key: "log-directory",
            beside: "log-mode",
        }));
    }
    Ok(SystemUser {
        comment: shape.comment.as_ref().map(comment).transpose()?,
        id,
        group: match &shape.group {
            Some(group) => group.parse()?,
            None => name.clone(),
        },
        groups: parse_all(&shape.groups)?,
        home: match &shape.home {
            Some(home) if home.value == "/" => None,
            home => parse_some(home.as_ref())?,
        },
        shell: match &shape.shell {
            Some(shell) => shell.parse()?,
            None => "/usr/sbin/nologin".parse().expect("a constant path"),
        },
        log_directory: match &shape.log_directory {
            Some(path) => {
                let mode = permissions(text, shape.log_mode.as_ref(), Permissions::PRIVATE_FOLDER)?;
                Some((log_directory(path)?, mode))
            }
            None => None,
        },
        name,
    })
}

/// The user database parts fields with `:`; sysusers.d knows quotes, escapes and `%` specifiers.
fn comment(shape: &At<String>) -> Parsed<Line> {
    if shape.value.contains([':', '"', '\\', '%']) {
        return Err(shape.error(ServiceError::Comment {
            text: shape.value.clone(),
        }));
    }
    shape.parse()
}

fn log_directory(shape: &At<String>) -> Parsed<SandboxPath> {
    let path: SandboxPath = shape.parse()?;
    if path.as_str().starts_with("/var/log/") {
        return Ok(path);
    }
    Err(shape.error(ServiceError::LogDirectory { path }))
}

fn limit(shape: &LimitSchema) -> Parsed<Limit> {
    let name = shape
        .user
        .value
        .strip_prefix('@')
        .unwrap_or(&shape.user.value);
    name.parse::<AccountName>()
        .map_err(|error| shape.user.error(error))?;
    let soft: Option<LimitValue> = parse_some(shape.soft.as_ref())?;
    let hard: Option<LimitValue> = parse_some(shape.hard.as_ref())?;
    match (soft, hard) {
        (None, None) => {
            return Err(shape.user.error(Cause::Needed {
                key: "soft",
                beside: "limits",
            }));
        }
        (Some(soft), Some(hard)) if soft > hard => {
            let place = shape.soft.as_ref().unwrap_or(&shape.user);
            return Err(place.error(ServiceError::SoftAboveHard { soft, hard }));
        }
        _ => {}
    }
    Ok(Limit {
        user: shape.user.value.clone(),
        item: limit_item(shape.item),
        soft,
        hard,
    })
}

const fn limit_item(shape: LimitItemSchema) -> LimitItem {
    match shape {
        LimitItemSchema::Core => LimitItem::Core,
        LimitItemSchema::Data => LimitItem::Data,
        LimitItemSchema::Fsize => LimitItem::Fsize,
        LimitItemSchema::Memlock => LimitItem::Memlock,
        LimitItemSchema::Nofile => LimitItem::Nofile,
        LimitItemSchema::Stack => LimitItem::Stack,
        LimitItemSchema::Cpu => LimitItem::Cpu,
        LimitItemSchema::Nproc => LimitItem::Nproc,
        LimitItemSchema::As => LimitItem::As,
        LimitItemSchema::Locks => LimitItem::Locks,
        LimitItemSchema::Sigpending => LimitItem::Sigpending,
        LimitItemSchema::Msgqueue => LimitItem::Msgqueue,
        LimitItemSchema::Rtprio => LimitItem::Rtprio,
    }
}

fn alternative(text: &str, shape: &AlternativeSchema) -> Parsed<Alternative> {
    let name = &shape.name.value;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c));
    if !is_name {
        let text = name.clone();
        return Err(shape.name.error(ServiceError::AlternativeName { text }));
    }
    let (link, path): (SandboxPath, SandboxPath) = (shape.link.parse()?, shape.path.parse()?);
    if link == path {
        return Err(shape.path.error(ServiceError::AlternativeOfItself { path }));
    }
    Ok(Alternative {
        name: name.clone(),
        link,
        path,
        priority: shape.priority.number(text, 0)?,
    })
}
