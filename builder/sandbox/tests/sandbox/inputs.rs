//! Inputs stay as they were, outputs are kept, layers are shared without being changed.

use std::os::unix::fs::{MetadataExt, symlink};

use kiln_model::{MountAccess, StepUser};

use crate::support::{Place, mount, output};

/// Everything that could change a file, each said to have worked when it did.
const ATTACKS: &str = "
    f=$1/file; d=$1
    (echo x > $f) 2>/dev/null && echo WRITE
    (echo x >> $f) 2>/dev/null && echo APPEND
    chmod 777 $f 2>/dev/null && echo CHMOD
    chown $(id -u) $f 2>/dev/null && echo CHOWN
    touch $f 2>/dev/null && echo TOUCH
    rm -f $f 2>/dev/null && echo UNLINK
    touch $d/new 2>/dev/null && echo CREATE
    mkdir $d/newdir 2>/dev/null && echo MKDIR
    (echo y > /tmp/other; mv /tmp/other $f) 2>/dev/null && echo RENAME
    mv $d/sub $d/bus 2>/dev/null && echo MOVE
    ln $f $d/hard 2>/dev/null && echo LINK
    ln $f /build/hard 2>/dev/null && echo LINKOUT
    dd if=/dev/zero of=$f bs=1 count=1 conv=notrunc 2>/dev/null && echo DD
    mount -o remount,rw $d 2>/dev/null && echo REMOUNT
    umount $d 2>/dev/null && echo UMOUNT
    cat $f; cat $d/sub/deep";

#[test]
fn a_read_only_input_can_not_be_changed_in_any_way() {
    let Some(place) = Place::new() else { return };
    let input = place.folder("input");
    place.folder("input/sub");
    place.file("input/file", "one\n");
    place.file("input/sub/deep", "two\n");
    let before = fs_err::metadata(input.join("file")).unwrap();
    for user in [StepUser::Build, StepUser::Root] {
        let mut step = place.command(&["/bin/sh", "-c", ATTACKS, "sh", "/input"]);
        step.user = user;
        step.mounts = vec![mount(&input, "/input", MountAccess::ReadOnly)];
        assert_eq!(output(&step), "one\ntwo\n", "{user:?}");
    }
    let after = fs_err::metadata(input.join("file")).unwrap();
    let facts =
        |found: &std::fs::Metadata| (found.mode(), found.uid(), found.nlink(), found.mtime_nsec());
    assert_eq!(facts(&before), facts(&after));
    assert_eq!(fs_err::read_to_string(input.join("file")).unwrap(), "one\n");

    // The control: the same attacks on a writable mount all work, but those on the mount itself.
    let mut step = place.command(&["/bin/sh", "-c", ATTACKS, "sh", "/input"]);
    step.mounts = vec![mount(&input, "/input", MountAccess::ReadWrite)];
    let log = output(&place.step("true")) + &crate::support::run(&step).unwrap().1;
    for word in [
        "WRITE", "APPEND", "CHMOD", "CHOWN", "TOUCH", "UNLINK", "CREATE", "MKDIR", "RENAME",
    ] {
        assert!(log.contains(word), "{word} in {log}");
    }
    assert!(!log.contains("REMOUNT") && !log.contains("UMOUNT"), "{log}");
}

#[test]
fn one_file_can_be_an_input() {
    let Some(place) = Place::new() else { return };
    let file = place.file("file", "text\n");
    let mut step = place.step("cat /deep/er/name; (echo x > /deep/er/name) 2>/dev/null || echo no");
    step.mounts = vec![mount(&file, "/deep/er/name", MountAccess::ReadOnly)];
    assert_eq!(output(&step), "text\nno\n");
    assert_eq!(fs_err::read_to_string(&file).unwrap(), "text\n");
}

#[test]
fn outputs_are_kept_as_the_caller_s_own() {
    let Some(place) = Place::new() else { return };
    let out = place.folder("out");
    let mut step = place.step("echo made > /build/file; mkdir /build/dir; chmod 600 /build/file; ls -ln /build | grep file");
    step.mounts = vec![mount(&out, "/build", MountAccess::ReadWrite)];
    let log = output(&step);
    assert!(log.contains("1000     1000"), "{log}");
    let made = fs_err::metadata(out.join("file")).unwrap();
    assert_eq!(made.uid(), fs_err::metadata(place.path()).unwrap().uid());
    assert_eq!(made.mode() & 0o7777, 0o600);
    assert!(out.join("dir").is_dir());
}

#[test]
fn a_later_mount_may_lie_inside_an_earlier_one() {
    let Some(place) = Place::new() else { return };
    let (outer, inner) = (place.folder("outer"), place.folder("inner"));
    place.file("inner/file", "inner\n");
    let mut step = place
        .step("cat /build/src/file; touch /build/a; touch /build/src/b 2>/dev/null || echo no");
    step.mounts = vec![
        mount(&outer, "/build", MountAccess::ReadWrite),
        mount(&inner, "/build/src", MountAccess::ReadOnly),
    ];
    assert_eq!(output(&step), "inner\nno\n");
    assert!(outer.join("a").exists());
}

#[test]
fn the_next_step_sees_no_change_of_the_last() {
    let Some(place) = Place::new() else { return };
    place.folder("rootfs/usr/lib");
    place.file("rootfs/usr/lib/library", "original\n");
    let script = "cat /usr/lib/library; echo changed > /usr/lib/library; rm /bin/yes; rm -r /usr/lib; \
                  mkdir /usr/lib; touch /usr/lib/new /new /tmp/new /etc/new; ls /usr/lib; ls -A /tmp";
    let first = output(&place.step(script));
    let second = output(&place.step(script));
    assert_eq!(first, "original\nnew\nnew\n");
    assert_eq!(first, second);
    let kept = place.rootfs().join("usr/lib/library");
    assert_eq!(fs_err::read_to_string(kept).unwrap(), "original\n");
    assert!(!place.rootfs().join("new").exists());
    assert!(place.rootfs().join("bin/yes").symlink_metadata().is_ok());
}

#[test]
fn the_topmost_layer_wins() {
    let Some(place) = Place::new() else { return };
    let mut step = place.step("cat /both /only-top /only-middle");
    // Names that would be options or lists, were they not handed over by descriptor.
    for (layer, folder) in [
        ("middle", "a,upperdir=b:c"),
        ("top", "spaces and \\ ,lowerdir+=/"),
    ] {
        let folder = place.folder(&format!("{layer}/{folder}"));
        fs_err::write(folder.join("both"), layer).unwrap();
        fs_err::write(folder.join(format!("only-{layer}")), layer).unwrap();
        step.rootfs.insert(0, folder);
    }
    assert_eq!(output(&step), "toptopmiddle");
}

#[test]
fn hundreds_of_layers_with_long_paths_fit() {
    let Some(place) = Place::new() else { return };
    let mut step = place.step("cat /0 /299; ls / | wc -l");
    for number in 0..300 {
        let name = format!("{}-{number}", "long".repeat(40));
        place.folder(&name);
        place.file(&format!("{name}/{number}"), "x\n");
        step.rootfs.insert(0, place.path().join(name));
    }
    assert_eq!(output(&step), "x\nx\n309\n");
}

#[test]
fn a_source_that_leads_through_a_symlink_is_refused() {
    let Some(place) = Place::new() else { return };
    let scratch = place.folder("scratch");
    symlink("/etc", scratch.join("planted")).unwrap();
    for source in [scratch.join("planted"), scratch.join("planted/ssl")] {
        let mut step = place.step("ls /input");
        step.mounts = vec![mount(&source, "/input", MountAccess::ReadOnly)];
        let error = crate::support::refusal(&step);
        let kiln_sandbox::SandboxError::SourceSymlink { path } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(*path, source);
    }
}
