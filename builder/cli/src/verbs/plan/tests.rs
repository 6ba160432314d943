use kiln_build::{NodeId, Prefix};

use super::*;

fn piece(name: &str, kind: fn(NodeId) -> Work, reason: &str, seconds: Option<u64>) -> Foreseen {
    let node = NodeId {
        recipe: name.parse().unwrap(),
        prefix: Prefix::System,
    };
    Foreseen {
        work: kind(node),
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
        last: seconds.map(Duration::from_secs),
    }
}

fn check(pieces: Vec<Foreseen>, known: Option<u64>, unknown: usize, expected: &str) {
    let estimate = Estimate {
        known: known.map(Duration::from_secs),
        unknown,
        workers: 2,
    };
    let forecast = Forecast { pieces, estimate };
    assert_eq!(lines(&forecast, &[]).join("\n"), expected);
}

#[test]
fn what_is_done_stands_beside_why_and_how_long() {
    let build: fn(NodeId) -> Work = Work::Build;
    let package: fn(NodeId) -> Work = Work::Package;
    check(
        vec![
            piece("openssl", build, "sources changed", Some(90)),
            piece("curl", build, "openssl is built", Some(30)),
            piece("curl", package, "curl is built", None),
            piece("zlib", build, "", Some(9)),
            piece("zlib", package, "", Some(1)),
        ],
        Some(120),
        1,
        "build    openssl  sources changed   about 1 min 30 s\n\
         build    curl     openssl is built  about 30 s\n\
         package  curl     curl is built     time unknown\n\
         cached   zlib\n\n\
         2 to build, 1 to package, 2 cached; at least 2 min 00 s, 2 at a time: 1 of 3 pieces was never \
         done here before.",
    );
    check(
        vec![piece("curl", build, "new", None)],
        None,
        1,
        "build    curl  new  time unknown\n\n\
         1 to build; how long it takes is not known, nothing of it was done here before.",
    );
    check(
        vec![piece("curl", build, "result lost", Some(4))],
        Some(4),
        0,
        "build    curl  result lost  about 4 s\n\n1 to build; about 4 s, 2 at a time.",
    );
    check(
        vec![
            piece("zlib", build, "", None),
            piece("zlib", package, "", None),
        ],
        None,
        0,
        "cached   zlib\n\nNothing to build: all 2 results are there already.",
    );
}
