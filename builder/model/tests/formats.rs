//! Files of every format that ever was: they stay here for good, so that no kiln forgets to read one, or to
//! say why it does not.

use kiln_model::{
    BaseLock, BuildInfo, BuildInfoError, Lock as _, LockError, RecipeLock, ReleasedLock,
};

#[test]
fn lockfiles_of_format_1_are_read_and_written_as_they_are() {
    let text = include_str!("formats/base-lock-1.lock");
    let lock = BaseLock::parse(text).unwrap();
    assert_eq!((lock.base.as_str(), lock.packages.len()), ("debian-12", 3));
    assert_eq!(lock.encode(), text);
    let text = include_str!("formats/recipe-lock-1.lock");
    let lock = RecipeLock::parse(text).unwrap();
    assert_eq!(lock.recipe.as_str(), "libevhtp");
    assert_eq!(lock.encode(), text);
    let text = include_str!("formats/recipe-lock-1-git.lock");
    let lock = RecipeLock::parse(text).unwrap();
    let git = lock.sources[0].git.as_ref().unwrap();
    assert_eq!(git.pins[0].path.as_str(), "modules/cpp-common");
    assert_eq!(lock.encode(), text);
    let text = include_str!("formats/released-lock-1.lock");
    let lock = ReleasedLock::parse(text).unwrap();
    assert_eq!(lock.encode(), text);
}

#[test]
fn a_newer_lockfile_is_refused_in_words() {
    let text = include_str!("formats/recipe-lock-1.lock").replace("format = 1", "format = 2");
    let error = RecipeLock::parse(&text).unwrap_err();
    assert_eq!(
        error,
        LockError::Newer {
            expected: 1,
            actual: 2
        }
    );
}

#[test]
fn build_information_is_read_from_format_2_on() {
    let info = BuildInfo::parse(include_bytes!("formats/buildinfo-2.json")).unwrap();
    assert_eq!(info.package.as_str(), "zlib");
    let error = BuildInfo::parse(include_bytes!("formats/buildinfo-1.json")).unwrap_err();
    assert_eq!(
        error,
        BuildInfoError::Older {
            expected: 2,
            actual: 1
        }
    );
    let text = include_str!("formats/buildinfo-2.json").replacen("\"format\":2", "\"format\":3", 1);
    let error = BuildInfo::parse(text.as_bytes()).unwrap_err();
    assert_eq!(
        error,
        BuildInfoError::Newer {
            expected: 2,
            actual: 3
        }
    );
}
