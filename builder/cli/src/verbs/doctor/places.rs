//! Whether the store and the results have a place: owner, file system, room.

use std::path::{Path, PathBuf};

use kiln_store::{FolderFacts, StoreError, examine_folder, examine_store};

use super::{Finding, Patient, Verdict};
use crate::arguments::Common;
use crate::session::{output_folder, store_folder};
use crate::text::size;

/// Less room than this is in the way: not even a base image can be put together.
const LEAST_ROOM: u64 = 512 << 20;
/// Less room than this is worth a note: a base image, its packages and some builds fill it.
const GOOD_ROOM: u64 = 5 << 30;
/// The same for files: a base image has tens of thousands.
const GOOD_FILES: u64 = 200_000;

/// Looks at the store's and the results' folder.
pub(super) fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let (store, output) = (store_folder(patient.common), output_folder(patient.common));
    let me = rustix::process::geteuid().as_raw();
    let (store, output) = (examine_store(&store), examine_folder(&output));
    let mut findings = place("store", &store, me);
    findings.extend(place("results", &output, me));
    findings
}

/// Returns where trees are, or will be, kept.
pub(super) fn store_file_system(common: &Common) -> Option<PathBuf> {
    let facts = examine_store(&store_folder(common)).ok()?;
    Some(facts.folder)
}

fn place(topic: &'static str, facts: &Result<FolderFacts, StoreError>, me: u32) -> Vec<Finding> {
    match facts {
        // These say it all; their causes name the scratch file that could not be made.
        Err(error @ (StoreError::NotWritable { .. } | StoreError::DiskFull { .. })) => {
            vec![Finding::new(topic, Verdict::No, error.to_string())]
        }
        Err(StoreError::NotAFolder { path }) => {
            let found = format!(
                "expected a folder at `{}`, found something else",
                path.display()
            );
            let finding = Finding::new(topic, Verdict::No, found);
            vec![finding.with_remedy("name another folder with --store or --out")]
        }
        Err(error) => vec![Finding::of_error(topic, Verdict::No, error)],
        Ok(facts) if topic == "store" => {
            let mut findings = vec![owner(topic, facts, me)];
            findings.extend(file_system(facts));
            findings.push(room("store's disk", facts));
            findings
        }
        Ok(facts) => vec![owner(topic, facts, me), room("results' disk", facts)],
    }
}

fn owner(topic: &'static str, facts: &FolderFacts, me: u32) -> Finding {
    let folder = shown(&facts.folder);
    if facts.exists && facts.owner != me {
        let found = format!("{folder} is user {}'s, and this is user {me}", facts.owner);
        return Finding::new(topic, Verdict::Note, found).with_remedy(
            "let one user build, or let all of them write what the others make there",
        );
    }
    let found = if facts.exists {
        format!("{folder} can be written to")
    } else {
        format!("will be made in {folder}")
    };
    Finding::new(topic, Verdict::Yes, found)
}

fn file_system(facts: &FolderFacts) -> Vec<Finding> {
    const TOPIC: &str = "file system";
    let lack = |lack: &kiln_store::Lack| {
        let found = format!("{} lacks {lack}", facts.file_system);
        if lack.is_bearable() {
            let found = format!("{found}; kiln does without");
            return Finding::new(TOPIC, Verdict::Note, found);
        }
        Finding::new(TOPIC, Verdict::No, found)
            .with_remedy("name a store on another file system with --store")
    };
    if !facts.lacks.is_empty() {
        return facts.lacks.iter().map(lack).collect();
    }
    if facts.file_system == "tmpfs" {
        let found = "tmpfs: the store is in memory, and gone after a restart";
        return vec![Finding::new(TOPIC, Verdict::Note, found)];
    }
    let found = format!("{} has what a store needs", facts.file_system);
    vec![Finding::new(TOPIC, Verdict::Yes, found)]
}

fn room(topic: &'static str, facts: &FolderFacts) -> Finding {
    let found = format!("{} free", size(facts.free_bytes));
    let remedy = "free some, or name a folder on another disk with --store and --out";
    let few = facts.free_files.filter(|files| *files < GOOD_FILES);
    match (facts.free_bytes, few) {
        (bytes, _) if bytes < LEAST_ROOM => {
            Finding::new(topic, Verdict::No, found).with_remedy(remedy)
        }
        (bytes, _) if bytes < GOOD_ROOM => {
            Finding::new(topic, Verdict::Note, found).with_remedy(remedy)
        }
        (_, Some(files)) => {
            let found = format!("{found}, but for {files} files only");
            Finding::new(topic, Verdict::Note, found).with_remedy(remedy)
        }
        (_, None) => Finding::new(topic, Verdict::Yes, found),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_store::Lack;

    fn facts(change: impl Fn(&mut FolderFacts)) -> FolderFacts {
        let folder = tempfile::tempdir().unwrap();
        let mut facts = examine_folder(folder.path()).unwrap();
        facts.folder = "/store".into();
        facts.exists = true;
        facts.owner = 7;
        facts.file_system = "ext4".to_owned();
        facts.free_bytes = GOOD_ROOM;
        facts.free_files = None;
        facts.lacks.clear();
        change(&mut facts);
        facts
    }

    #[test]
    fn room_is_judged_by_bytes_and_files() {
        for (bytes, files, verdict, found) in [
            (GOOD_ROOM, None, Verdict::Yes, "5.0 GiB free"),
            (GOOD_ROOM - 1, None, Verdict::Note, "4.9 GiB free"),
            (LEAST_ROOM - 1, Some(5), Verdict::No, "511.9 MiB free"),
            (
                GOOD_ROOM,
                Some(5),
                Verdict::Note,
                "5.0 GiB free, but for 5 files only",
            ),
            (GOOD_ROOM, Some(GOOD_FILES), Verdict::Yes, "5.0 GiB free"),
        ] {
            let facts = facts(|facts| (facts.free_bytes, facts.free_files) = (bytes, files));
            let finding = room("store's disk", &facts);
            assert_eq!((finding.verdict, finding.found.as_str()), (verdict, found));
            assert_eq!(finding.remedy.is_some(), verdict != Verdict::Yes);
        }
    }

    #[test]
    fn a_file_system_that_changes_trees_is_in_the_way() {
        for (lacks, verdict) in [
            (vec![], Verdict::Yes),
            (vec![Lack::RenameNoReplace], Verdict::Note),
            (vec![Lack::Case], Verdict::No),
            (vec![Lack::Programs], Verdict::No),
        ] {
            let findings = file_system(&facts(|facts| facts.lacks.clone_from(&lacks)));
            assert_eq!(findings.len(), lacks.len().max(1));
            assert_eq!(findings[0].verdict, verdict, "{lacks:?}");
        }
    }

    #[test]
    fn another_users_store_is_noted() {
        let facts = facts(|_| ());
        assert_eq!(owner("store", &facts, 7).verdict, Verdict::Yes);
        let finding = owner("store", &facts, 8);
        assert_eq!(finding.verdict, Verdict::Note);
        assert_eq!(finding.found, "/store is user 7's, and this is user 8");
    }
}
