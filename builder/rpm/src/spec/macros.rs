//! The macros that every spec sets itself, so that no output depends on the base's defaults.
//!
//! Found the hard way on rpm 4.18 and debugedit 5.0 (Debian 12), and kept here because each was a
//! different package or none:
//!
//! * `%{_dbpath}` of Debian's rpm is `~/.rpmdb`, by way of bash: module `packaging` fixes it.
//! * `brp-elfperms` of Debian takes the execute bits from shared objects; find-debuginfo and the
//!   build-id links look at executable files only. No script of the base's runs.
//! * `_fileattrsdir` decides which generators run: python, perl, fonts and whatever else is
//!   installed. Ours holds empty files, whose names alone count; the rest are macros here and in module `generators`.
//!   (`_local_file_attrs` alone does not do: "No file attributes configured".)
//! * `find-debuginfo -jN` swallows a failed job. It runs with one.
//! * `--build-id-seed` of the stock macro is version and release: the same private library in two
//!   products of one version would own the same `/usr/lib/.build-id` link. The name is part of ours.
//! * `clamp_mtime_to_source_date_epoch` only lowers: `%install` sets every time, and refuses a
//!   clock that is behind.
//! * Vendor and platform reach the headers (`PLATFORM`, `OPTFLAGS`).
//! * The `.debug` files are ELF: without `exclude_path` they provide sonames such as
//!   `libdemo.so.1-1.0-1.x86_64.debug`.

/// `Name -> value` for every macro whose value is the same in all specs, in the order written.
pub(super) const FIXED: &[(&str, &str)] = &[
    // The header.
    ("_rpmformat", "4"),
    ("_buildhost", "kiln"),
    ("_vendor", "kiln"),
    ("_os", "linux"),
    ("_target_platform", "%{_target_cpu}-kiln-linux"),
    ("optflags", "%{nil}"),
    ("dist", "%{nil}"),
    (
        "_build_name_fmt",
        "%%{ARCH}/%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
    ),
    ("_rpmfilename", "%{_build_name_fmt}"),
    // Time.
    ("source_date_epoch_from_changelog", "0"),
    ("use_source_date_epoch_as_buildtime", "1"),
    ("clamp_mtime_to_source_date_epoch", "1"),
    ("build_mtime_policy", "clamp_to_source_date_epoch"),
    ("_changelog_trimtime", "0"),
    ("_changelog_trimage", "0"),
    // The payload: one compressor, one level, one thread. Level 19 took twelve times as long as 12
    // for 12 % less (120 MB of object files: 38 s and 20.3 MB against 3.2 s and 22.9 MB).
    ("_binary_payload", "w12.zstdio"),
    ("_source_payload", "w12.zstdio"),
    ("_binary_filedigest_algorithm", "8"),
    ("_source_filedigest_algorithm", "8"),
    // Places.
    ("_prefix", "/usr"),
    ("_exec_prefix", "/usr"),
    ("_bindir", "/usr/bin"),
    ("_sbindir", "/usr/sbin"),
    ("_libexecdir", "/usr/libexec"),
    ("_datadir", "/usr/share"),
    ("_datarootdir", "/usr/share"),
    ("_sysconfdir", "/etc"),
    ("_sharedstatedir", "/var/lib"),
    ("_localstatedir", "/var"),
    ("_rundir", "/run"),
    ("_lib", "lib64"),
    ("_libdir", "/usr/lib64"),
    ("_includedir", "/usr/include"),
    ("_infodir", "/usr/share/info"),
    ("_mandir", "/usr/share/man"),
    ("_docdir", "/usr/share/doc"),
    ("_defaultdocdir", "/usr/share/doc"),
    ("_defaultlicensedir", "/usr/share/licenses"),
    (
        "__docdir_path",
        "/usr/share/doc:/usr/share/man:/usr/share/info",
    ),
    // Work.
    ("_buildshell", "/bin/sh"),
    ("_smp_build_ncpus", "1"),
    ("_smp_mflags", "-j1"),
    // What makes rpmbuild fail.
    ("_unpackaged_files_terminate_build", "1"),
    ("_duplicate_files_terminate_build", "1"),
    ("_missing_doc_files_terminate_build", "1"),
    ("_empty_manifest_terminate_build", "1"),
    ("_binaries_in_noarch_packages_terminate_build", "1"),
    ("_invalid_encoding_terminates_build", "1"),
    ("_wrong_version_format_terminate_build", "1"),
    ("__check_files", "%{_rpmconfigdir}/check-files %{buildroot}"),
    // Nothing runs behind %install but what stands in it.
    ("debug_package", "%{nil}"),
    ("__debug_install_post", "%{nil}"),
    ("__arch_install_post", "%{nil}"),
    ("__os_install_post", "%{nil}"),
    ("__spec_install_post", "%{nil}"),
    // Dependency generators: exactly these.
    ("_use_internal_dependency_generator", "1"),
    ("_fileattrsdir", "%{_topdir}/fileattrs"),
    ("_local_file_attrs", "%{nil}"),
    ("__kiln_elf_provides", "%{_rpmconfigdir}/elfdeps --provides"),
    ("__kiln_elf_requires", "%{_rpmconfigdir}/elfdeps --requires"),
    ("__kiln_elf_magic", "ELF (32|64)-bit"),
    ("__kiln_elf_exclude_path", "^/usr/lib/debug/"),
    (
        "__kiln_pkgconfig_provides",
        "%{_rpmconfigdir}/pkgconfigdeps.sh --provides",
    ),
    (
        "__kiln_pkgconfig_requires",
        "%{_rpmconfigdir}/pkgconfigdeps.sh --requires",
    ),
    ("__kiln_pkgconfig_path", "/pkgconfig/[^/]+[.]pc$"),
    ("__kiln_script_requires", "%{_rpmconfigdir}/script.req"),
    ("__kiln_script_magic", " script[, ]"),
    ("__kiln_script_flags", "exeonly"),
    ("__kiln_perl_requires", "%{_rpmconfigdir}/perl.req"),
    ("__kiln_perl_magic", "^.*[Pp]erl .*$"),
    ("__kiln_perl_flags", "exeonly"),
    ("__kiln_perllib_provides", "%{_rpmconfigdir}/perl.prov"),
    ("__kiln_perllib_requires", "%{_rpmconfigdir}/perl.req"),
    (
        "__kiln_perllib_path",
        "^/usr/(share|lib|lib64)/perl5/.*[.]pm$",
    ),
    ("__kiln_cmake_path", "/cmake/.*(Config|-config)[.]cmake$"),
    (
        "__kiln_python_path",
        "^/usr/lib(64)?/python[0-9]+[.][0-9]+/.*[.](py|pyc|so)$",
    ),
    (
        "__kiln_pythondist_path",
        "^/usr/lib(64)?/python[0-9]+[.][0-9]+/(site|dist)-packages/[^/]+[.](dist-info/METADATA|egg-info/PKG-INFO|egg-info)$",
    ),
    (
        "__kiln_debuginfo_path",
        "^/usr/lib/debug/[.]build-id/[^/]+/[^/]+[.]debug$",
    ),
    ("__global_requires_exclude_from", "^/usr/share/doc/"),
    ("__global_provides_exclude_from", "^/usr/share/doc/"),
];

/// The generators: `__<name>_…` above and in module `generators`.
pub(super) const GENERATORS: &[&str] = &[
    "kiln_cmake",
    "kiln_debuginfo",
    "kiln_elf",
    "kiln_perl",
    "kiln_perllib",
    "kiln_pkgconfig",
    "kiln_python",
    "kiln_pythondist",
    "kiln_script",
];

/// Macros that a base may set and that must not be set at all.
pub(super) const UNDEFINED: &[&str] = &[
    "vendor",
    "packager",
    "distribution",
    "disturl",
    "disttag",
    "bugurl",
    "modularitylabel",
    "_build_pkgcheck",
    "_build_pkgcheck_set",
    "_enable_debug_packages",
    "_debuginfo_subpackages",
    "_include_minidebuginfo",
    "_include_gdb_index",
    "_no_recompute_build_ids",
    "_find_debuginfo_opts",
    "_find_debuginfo_dwz_opts",
    "__global_provides_exclude",
    "__global_requires_exclude",
    "_javaclasspath",
];

/// Macros of a spec that splits debug information off.
pub(super) const DEBUG_SPLIT: &[(&str, &str)] = &[
    ("__debug_package", "1"),
    ("_build_id_links", "compat"),
    ("_missing_build_ids_terminate_build", "1"),
    ("_unique_build_ids", "1"),
    ("_unique_debug_names", "1"),
    ("_unique_debug_srcs", "1"),
    ("_debugsource_packages", "1"),
];

/// Macros of a spec that does not.
pub(super) const DEBUG_OFF: &[(&str, &str)] = &[("_build_id_links", "none")];
