//! The scriptlets of a package: ready-made pieces and the recipe's own text, in one order.
//!
//! | scriptlet | order |
//! |---|---|
//! | `%pre` | users, own text |
//! | `%post` | tmpfiles, units, alternatives, own text |
//! | `%preun` | own text, units |
//! | `%postun` | own text, alternatives, units |
//! | `%pretrans`, `%posttrans` | own text |
//!
//! What is built up on installation is there when the recipe's own text runs, and still there when it
//! runs on removal. Own text in front of ready-made pieces runs in a shell of its own: its `exit` ends
//! it alone, and only a failure ends the scriptlet.

use kiln_model::recipe::{Package, Scriptlet as When};
use kiln_rpm::{Dependency, Scriptlet, ScriptletTime, SpecTextError};

use super::ready;

/// Every time that a scriptlet may run at.
const TIMES: [When; 6] = [
    When::Pre,
    When::Post,
    When::Preun,
    When::Postun,
    When::Pretrans,
    When::Posttrans,
];

/// Returns a package's scriptlets.
pub(crate) fn scriptlets(package: &Package) -> Vec<Scriptlet> {
    let scriptlet = |when: When| {
        Some(Scriptlet {
            when: time(when),
            body: body(package, when)?,
        })
    };
    TIMES.into_iter().filter_map(scriptlet).collect()
}

/// Returns what runs at one time, or nothing.
pub(super) fn body(package: &Package, when: When) -> Option<String> {
    let own = package.scripts.get(&when).map(String::as_str);
    let ready: Vec<Option<String>> = match when {
        When::Pre => vec![ready::create_users(package)],
        When::Post => vec![
            ready::apply_tmpfiles(package),
            ready::install_units(package),
            ready::offer_alternatives(package),
        ],
        When::Preun => vec![ready::remove_units(package)],
        When::Postun => vec![
            ready::withdraw_alternatives(package),
            ready::forget_units(package),
        ],
        When::Pretrans | When::Posttrans => Vec::new(),
    };
    let ready: String = ready.into_iter().flatten().collect();
    if ready.is_empty() {
        return own.map(str::to_owned);
    }
    Some(match (own, when) {
        (None, _) => ready,
        (Some(own), When::Preun | When::Postun) => {
            format!("(\n{own}\n)\nstatus=$?\n[ \"$status\" -eq 0 ] || exit \"$status\"\n{ready}")
        }
        (Some(own), _) => format!("{ready}{own}\n"),
    })
}

const fn time(when: When) -> ScriptletTime {
    match when {
        When::Pre => ScriptletTime::BeforeInstall,
        When::Post => ScriptletTime::AfterInstall,
        When::Preun => ScriptletTime::BeforeRemove,
        When::Postun => ScriptletTime::AfterRemove,
        When::Pretrans => ScriptletTime::BeforeTransaction,
        When::Posttrans => ScriptletTime::AfterTransaction,
    }
}

/// Returns what a package provides by its users, as current rpm generates it from sysusers.d files.
///
/// # Errors
/// Never in practice: names of users are dependencies' names.
pub(crate) fn provides(package: &Package) -> Result<Vec<Dependency>, SpecTextError> {
    let mut names = Vec::new();
    for user in &package.services.users {
        names.push(format!("user({})", user.name));
        names.push(format!("group({})", user.group));
        for group in &user.groups {
            names.push(format!("groupmember({}/{group})", user.name));
        }
    }
    names.sort_unstable();
    names.dedup();
    names.iter().map(|name| name.parse()).collect()
}
