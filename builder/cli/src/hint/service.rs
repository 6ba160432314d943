//! What to do about a package's services.

use kiln_build::{ServiceFinding, UnitMistake};

use super::did_you_mean;

/// What to do about something that is wrong with a service.
pub(super) fn of_finding(finding: &ServiceFinding) -> Option<String> {
    Some(match finding {
        ServiceFinding::UnitNotShipped { unit, known, .. } => did_you_mean(&unit.file(), known)
            .unwrap_or_else(|| {
                format!(
                    "`install` it to `/usr/lib/systemd/system/{}`, or claim that path with `files`",
                    unit.file()
                )
            }),
        ServiceFinding::Unit { mistake, .. } => return of_unit(mistake),
        ServiceFinding::Unmerged { to, .. } => format!("write `/usr{to}`"),
        ServiceFinding::InstalledTwice { .. } => {
            "keep one of the two; what the install step leaves can be removed there".to_owned()
        }
        ServiceFinding::NoFolder { .. } => "choose another folder".to_owned(),
        ServiceFinding::ScriptLine { .. } => {
            "join it to the line before, or put a word in front of it".to_owned()
        }
        ServiceFinding::ScriptSyntax { .. } => {
            "scripts are read by the base image's `/bin/sh`".to_owned()
        }
        ServiceFinding::TmpfilesAccount { account, .. }
        | ServiceFinding::LimitAccount { account, .. } => of_account(account),
        ServiceFinding::AlternativeNotShipped { path, .. } => {
            format!("claim `{path}` with this package's `files`, or move the alternative")
        }
        ServiceFinding::AlternativeTaken { .. } => {
            "rename the file in `install`, and offer it under its new name".to_owned()
        }
    })
}

fn of_unit(mistake: &UnitMistake) -> Option<String> {
    Some(match mistake {
        UnitMistake::NoProgram {
            nearest: Some(name),
            ..
        } => format!("did you mean `{name}`?"),
        UnitMistake::NoProgram { program, .. } => {
            format!("ship it, or say that another package does: `requires: [{program}]`")
        }
        UnitMistake::NoAccount { account, .. } => of_account(account),
        UnitMistake::NotEnabled => {
            "add `[Install]` with `WantedBy=multi-user.target`, or remove the preset".to_owned()
        }
        UnitMistake::RelativeProgram { .. } => "write the installed path".to_owned(),
        _ => return None,
    })
}

fn of_account(account: &str) -> String {
    let name = account.trim_start_matches('@');
    format!("declare it in `users`, or say that another package does: `requires: [user({name})]`")
}
