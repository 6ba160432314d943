//! `kiln bundle`: one file with everything, for where there is no network.

use std::path::{Path, PathBuf};

use kiln_build::{BundleError, ImportBundle, Imported, export_bundle, import_bundle, note_project};
use kiln_sandbox::Cancel;
use kiln_store::Store;

use crate::arguments::{BundleCheck, BundleExport, BundleImport, BundleVerb, Common, Format};
use crate::failure::Failure;
use crate::interrupt::{self, FirstSignal};
use crate::print::line;
use crate::report::{BundleReadLine, BundleWrittenLine, EventLine, print_event};
use crate::session::{Session, open_store, store_folder};
use crate::text::{count, size};

/// The running kiln.
const PROGRAM: &str = "/proc/self/exe";

/// Does what was asked.
pub fn run(common: &Common, verb: &BundleVerb) -> Result<u8, Failure> {
    match verb {
        BundleVerb::Export(export) => self::export(common, export),
        BundleVerb::Check(check) => self::check(common, check),
        BundleVerb::Import(import) => self::import(common, import),
    }
}

fn export(common: &Common, arguments: &BundleExport) -> Result<u8, Failure> {
    let file = PathBuf::from(&arguments.file);
    let mut session = Session::open(common, FirstSignal::Asks)?;
    let is_recipe = arguments.file.to_str().is_some_and(|name| {
        let mut recipes = session.project.recipes.keys();
        recipes.any(|recipe| recipe.as_str() == name)
    });
    if is_recipe {
        let text = format!(
            "`{}` is a recipe, and the file to write comes first",
            file.display()
        );
        return Err(Failure::usage(&text, "kiln bundle export FILE [RECIPE]..."));
    }
    let wanted = super::wanted(&session.project, &arguments.names);
    let exported = export_bundle(&session.workshop(), &wanted, Path::new(PROGRAM), &file)
        .map_err(|error| Failure::bundle(Some(&session.project), &error, &file))?;
    session.finish_report();
    let shown = file.display().to_string();
    if common.format == Format::Json {
        let written = BundleWrittenLine::new(&exported, shown);
        print_event(&EventLine::BundleWritten(written));
        return Ok(0);
    }
    if common.quiet {
        return Ok(0);
    }
    if exported.resumed > 0 {
        line(&format!(
            "went on    after {} that an earlier export had written",
            size(exported.resumed)
        ));
    }
    let recipes = count(exported.recipes.len(), "recipe");
    line(&format!(
        "wrote      {shown}: {recipes}, {}, {}",
        count(exported.blobs, "file"),
        size(exported.bytes)
    ));
    line(&format!("bundle     {}", exported.bundle));
    line("On the other side:");
    line(&format!("  tar -xf {shown} kiln"));
    line(&format!(
        "  ./kiln bundle import {shown} --into FOLDER --expect {}",
        exported.bundle
    ));
    match common.chosen_base() {
        Some(base) => line(&format!("  cd FOLDER && KILN_BASE={base} make rpms")),
        None => line("  cd FOLDER && make rpms"),
    }
    Ok(0)
}

fn import(common: &Common, arguments: &BundleImport) -> Result<u8, Failure> {
    let cancel = Cancel::new();
    interrupt::watch(&cancel, FirstSignal::Asks);
    let file = PathBuf::from(&arguments.file);
    let into = arguments.into.as_deref();
    // Looked at before a store is made in it.
    let store = match into.filter(|_| common.store.is_none()) {
        Some(into) => {
            kiln_build::check_import_folder(into, None)
                .map_err(|error| Failure::bundle(None, &error, &file))?;
            open_store(&at(common, into))?
        }
        None => open_store(common)?,
    };
    let request = ImportBundle {
        file: &file,
        store: &store,
        into,
        expected: arguments.expect,
        is_stopped: &|| cancel.is_cancelled(),
    };
    let imported = import_bundle(&request).map_err(|error| Failure::bundle(None, &error, &file))?;
    if let Some(into) = into {
        // Until it is built, nothing but the project keeps what was imported.
        let root = fs_err::canonicalize(into).map_err(|error| Failure::host(error.into()))?;
        note_project(&store, &root).map_err(|error| Failure::host(Box::new(error)))?;
    }
    tell_imported(common, &imported);
    Ok(0)
}

/// Returns the options for the project in `folder`, with everything that is its own in it.
fn at(common: &Common, folder: &Path) -> Common {
    Common {
        project: folder.to_owned(),
        ..common.clone()
    }
}

fn tell_imported(common: &Common, imported: &Imported) {
    if common.format == Format::Json {
        print_event(&EventLine::BundleRead(BundleReadLine::from(imported)));
        return;
    }
    if common.quiet {
        return;
    }
    let recipes = count(imported.recipes.len(), "recipe");
    let already = match imported.already {
        0 => String::new(),
        number => format!(", {number} of them were there"),
    };
    line(&format!(
        "imported   {recipes}, {}{already} ({} new)",
        count(imported.blobs, "file"),
        size(imported.new_bytes)
    ));
    line(&format!("bundle     {}", imported.bundle));
    let base = imported.base.as_ref();
    match &imported.project {
        Some(folder) => line(&format!(
            "The project is in {0}; `cd {0} && {1}make rpms` builds it.",
            folder.display(),
            base.map_or_else(String::new, |base| format!("KILN_BASE={base} "))
        )),
        None => line(&format!(
            "The store has what is in it; `kiln --offline build{}` builds it.",
            base.map_or_else(String::new, |base| format!(" --base {base}"))
        )),
    }
}

/// Imports a bundle into a store and a folder of their own, and does there all that a build does before
/// it runs steps: nothing but the bundle can help.
fn check(common: &Common, arguments: &BundleCheck) -> Result<u8, Failure> {
    let file = PathBuf::from(&arguments.file);
    let failed = |error: &BundleError| Failure::bundle(None, error, &file).into_findings();
    let store = open_store(common)?;
    let scratch = store
        .scratch()
        .map_err(|error| Failure::host(error.into()))?;
    let folder = scratch.path().join("bundle");
    let apart = Common {
        store: Some(folder.join(".kiln/store").into_os_string()),
        out: Some(folder.join("out").into_os_string()),
        offline: true,
        ..at(common, &folder)
    };
    let imported = {
        let cancel = Cancel::new();
        interrupt::watch(&cancel, FirstSignal::Ends);
        let alone = Store::open(&store_folder(&apart));
        let alone = alone.map_err(|error| Failure::host(error.into()))?;
        import_bundle(&ImportBundle {
            file: &file,
            store: &alone,
            into: Some(&folder),
            expected: None,
            is_stopped: &|| cancel.is_cancelled(),
        })
        .map_err(|error| failed(&error))?
    };
    // What it was exported for, whatever is chosen here.
    let apart = apart.on_base(imported.base.as_ref());
    let checked = kiln_build::check(
        &folder,
        apart.chosen_base(),
        kiln_model::Architecture::X86_64,
    );
    let failures = checked.errors.iter();
    let failures = failures.map(|error| Failure::build(&checked.project, error));
    if let Some(failure) = Failure::joined(failures.collect()) {
        return Err(failure.into_findings());
    }
    let mut session = Session::open(&apart, FirstSignal::Ends)?;
    kiln_build::fetch(&session.workshop(), &imported.recipes)
        .map_err(|error| Failure::build(&session.project, &error).into_findings())?;
    session.finish_report();
    if common.format == Format::Json {
        print_event(&EventLine::BundleRead(BundleReadLine {
            project: None,
            ..BundleReadLine::from(&imported)
        }));
    } else if !common.quiet {
        line(&format!(
            "complete   {}, {}: nothing else is needed to build them",
            count(imported.recipes.len(), "recipe"),
            count(imported.blobs, "file")
        ));
        line(&format!("bundle     {}", imported.bundle));
    }
    Ok(0)
}
