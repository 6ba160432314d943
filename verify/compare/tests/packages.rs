//! Whole packages, as rpm tools write them: how far two agree, where they differ, and why.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::io::Write as _;

use kiln_compare::{
    Agreement, Cause, Circumstances, Comparison, Difference, Effort, agreement, compare_packages,
    name_causes,
};

/// What varies between two packages of the demo.
struct Demo {
    time: u32,
    host: &'static str,
    compression: rpm::CompressionType,
    hello: Vec<u8>,
    mode: u16,
    owner: &'static str,
    link: &'static str,
    requires: &'static str,
    post: &'static str,
    more: Option<&'static str>,
}

impl Default for Demo {
    fn default() -> Self {
        Self {
            time: 1_676_851_200,
            host: "kiln",
            compression: rpm::CompressionType::Zstd,
            hello: b"hello\n".to_vec(),
            mode: 0o640,
            owner: "root",
            link: "hello",
            requires: "1.2",
            post: "echo installed\nldconfig\n",
            more: None,
        }
    }
}

impl Demo {
    fn build(&self) -> Vec<u8> {
        let config = rpm::BuildConfig::v4()
            .compression(self.compression)
            .source_date(self.time);
        let file = rpm::FileOptions::new("/usr/share/demo/hello")
            .permissions(self.mode)
            .user(self.owner);
        let mut builder = rpm::PackageBuilder::new("demo", "1.0", "MIT", "x86_64", "A demo");
        builder
            .using_config(config)
            .release("2")
            .build_host(self.host)
            .with_file_contents(self.hello.as_slice(), file)
            .unwrap()
            .with_file_contents("a=1\n", rpm::FileOptions::new("/etc/demo.conf").config())
            .unwrap()
            .with_symlink(rpm::FileOptions::symlink("/usr/share/demo/link", self.link))
            .unwrap()
            .requires(rpm::Dependency::greater_eq("zlib", self.requires))
            .post_install_script(self.post);
        if let Some(path) = self.more {
            builder
                .with_file_contents("more\n", rpm::FileOptions::new(path))
                .unwrap();
        }
        let mut bytes = Vec::new();
        builder.build().unwrap().write(&mut bytes).unwrap();
        bytes
    }
}

fn gzip(content: &[u8], mtime: u32) -> Vec<u8> {
    let builder = flate2::GzBuilder::new().mtime(mtime);
    let mut encoder = builder.write(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1);
        header.set_cksum();
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Returns what does not follow from something else.
fn meant(found: &Comparison) -> Vec<String> {
    let meant = found.explained().filter(|(_, is_explained)| !is_explained);
    meant
        .map(|(difference, _)| difference.to_string())
        .collect()
}

/// Compares the demo as it is with a changed one; returns what does not follow from something else.
fn told(change: Demo, expected: Agreement) -> (Vec<String>, Vec<Cause>) {
    let (left, right) = (Demo::default().build(), change.build());
    let (found_agreement, found) = compare_packages(&left, &right, &Effort::USUAL).unwrap();
    assert_eq!(found_agreement, expected, "{found:#?}");
    assert_eq!(agreement(&left, &right).unwrap(), expected);
    assert!(!found.differences.is_empty() && !found.is_cut);
    let unknown = Circumstances::default();
    let causes = name_causes(&found.differences, &unknown, &unknown);
    (
        meant(&found),
        causes.into_iter().map(|named| named.cause).collect(),
    )
}

#[test]
fn one_change_is_told_in_its_place() {
    let different = Agreement::Different;
    let header = Agreement::PayloadIdentical;
    let demo = Demo::default;
    let rows: [(Demo, Agreement, &[&str], &[Cause]); 7] = [
        (
            Demo {
                host: "elsewhere",
                ..demo()
            },
            header,
            &["tag BUILDHOST: kiln -> elsewhere"],
            &[Cause::HostName],
        ),
        (
            Demo {
                requires: "1.3",
                ..demo()
            },
            header,
            &["relations requires: zlib >= 1.2 -> zlib >= 1.3"],
            &[Cause::Unknown],
        ),
        (
            Demo {
                post: "echo installed\nldconfig -v\n",
                ..demo()
            },
            header,
            &["scriptlet %post, line 2, column 9: ldconfig -> ldconfig -v"],
            &[Cause::Unknown],
        ),
        (
            Demo {
                owner: "anna",
                ..demo()
            },
            header,
            &[
                "relations recommends: only right: user(anna) (flags 0x1200)",
                "file /usr/share/demo/hello, field owner: root -> anna",
            ],
            &[Cause::User],
        ),
        (
            Demo {
                hello: b"hullo\n".to_vec(),
                ..demo()
            },
            different,
            &["file /usr/share/demo/hello, line 1, column 2: hello -> hullo"],
            &[Cause::Unknown],
        ),
        (
            Demo {
                link: "hullo",
                ..demo()
            },
            different,
            &["file /usr/share/demo/link, field target: hello -> hullo"],
            &[Cause::Unknown],
        ),
        (
            Demo {
                mode: 0o600,
                ..demo()
            },
            different,
            &["file /usr/share/demo/hello, field mode: 0640 -> 0600"],
            &[Cause::Environment],
        ),
    ];
    rows.into_iter().for_each(check);
}

fn check((change, agreement, expected, causes): (Demo, Agreement, &[&str], &[Cause])) {
    let (told, found) = told(change, agreement);
    for line in expected {
        assert!(told.iter().any(|known| known == line), "{line}: {told:#?}");
    }
    assert!(told.len() <= expected.len() + 1, "{told:#?}");
    assert!(
        causes.iter().all(|cause| found.contains(cause)),
        "{found:?} {causes:?}"
    );
}

#[test]
fn compression_alone_is_told_as_such() {
    let change = Demo {
        compression: rpm::CompressionType::Gzip,
        ..Demo::default()
    };
    let (told, causes) = told(change, Agreement::PayloadIdentical);
    let is_told = |start: &str| told.iter().any(|line| line.starts_with(start));
    assert!(is_told("tag PAYLOADCOMPRESSOR: "), "{told:#?}");
    assert!(is_told("part payload, compression "), "{told:#?}");
    assert_eq!(causes.first(), Some(&Cause::Compression));
}

#[test]
fn archives_within_are_walked_to_the_line() {
    let inner = |date: &str| {
        let text = format!("first\nbuilt {date}\nlast\n");
        gzip(
            &tar(&[("doc/readme", text.as_bytes()), ("doc/same", b"same")]),
            7,
        )
    };
    let package = |date| Demo {
        hello: inner(date),
        ..Demo::default()
    };
    let (left, right) = (
        package("Nov 27 2026").build(),
        package("Dec 30 2027").build(),
    );
    let (agreement, found) = compare_packages(&left, &right, &Effort::USUAL).unwrap();
    assert_eq!(agreement, Agreement::Different);
    assert_eq!(
        meant(&found),
        [
            "file /usr/share/demo/hello, in gzip, member doc/readme, line 2, column 7: \
          built Nov 27 2026 -> built Dec 30 2027"
        ]
    );
    let unknown = Circumstances::default();
    let causes = name_causes(&found.differences, &unknown, &unknown);
    assert_eq!(causes.len(), 1);
    assert_eq!(causes[0].cause, Cause::Timestamp);
    // One is enough where only one was asked for.
    let (_, first) = compare_packages(&left, &right, &Effort::stopping_at(1)).unwrap();
    assert_eq!((meant(&first), first.is_cut), (meant(&found), true));
}

#[test]
fn a_file_more_is_one_difference() {
    let change = Demo {
        more: Some("/usr/share/demo/more"),
        ..Demo::default()
    };
    let (told, _) = told(change, Agreement::Different);
    assert!(
        told.iter().any(|line| line == "file /usr/share/demo/more: only right: file of 5 bytes, mode 0644"),
        "{told:#?}"
    );
    assert!(told.len() <= 2, "{told:#?}");
}

#[test]
fn the_lead_and_signature_header_are_no_content() {
    let bytes = Demo::default().build();
    assert_eq!(agreement(&bytes, &bytes).unwrap(), Agreement::BitIdentical);
    let mut named = bytes.clone();
    named[10] = b'D';
    let (agreement, found) = compare_packages(&bytes, &named, &Effort::USUAL).unwrap();
    assert_eq!(agreement, Agreement::ButForSignature);
    let told: Vec<String> = found
        .differences
        .iter()
        .map(Difference::to_string)
        .collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("part lead, field name: d"), "{told:?}");
}
