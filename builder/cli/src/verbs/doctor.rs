//! `kiln doctor`: says what isolation this host can give.

use std::path::PathBuf;

use kiln_model::Measured;
use kiln_sandbox::{EmbeddedEngine, Engine as _, InitProgram};

use crate::SANDBOX_INIT;
use crate::arguments::{Common, Format};
use crate::failure::Failure;
use crate::print::line;
use crate::report::{EventLine, print_event};

/// Makes an empty sandbox and prints what was measured in it.
pub fn run(common: &Common) -> Result<u8, Failure> {
    let engine = EmbeddedEngine::new(InitProgram {
        program: PathBuf::from("/proc/self/exe"),
        arguments: vec![SANDBOX_INIT.to_owned()],
    });
    let isolation = engine
        .probe()
        .map_err(|error| Failure::host(error.into()))?;
    if common.format == Format::Json {
        print_event(&EventLine::from(&isolation));
        return Ok(0);
    }
    let rows = [
        ("network", isolation.network, "required"),
        ("file system", isolation.filesystem, "required"),
        ("processes", isolation.processes, "required"),
        ("privileges", isolation.privileges, "required"),
        ("user namespace", isolation.user_namespace, "best effort"),
        ("resource limits", isolation.resource_limits, "best effort"),
    ];
    line(&format!(
        "The {} engine can seal builds on this host:",
        isolation.engine
    ));
    for (what, measured, need) in rows {
        let measured = if measured == Measured::Yes {
            "yes"
        } else {
            "no"
        };
        line(&format!("  {what:<16} {measured:<4} ({need})"));
    }
    Ok(0)
}
