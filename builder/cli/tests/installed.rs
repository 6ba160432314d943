//! The packages of `make rpms`, installed by rpm beside `kiln-base-debian-12` into a copy of the base
//! root file system, and used. Run by `make test-slow`, which builds them first.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can not go on has failed"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln_model::{
    BaseLock, DiffId, Limits, Lock as _, Mount, MountAccess, SealedStep, StepEnd, StepUser,
};
use kiln_sandbox::{Cancel, EmbeddedEngine, Engine as _, InitProgram};
use kiln_store::Store;

fn root() -> PathBuf {
    fs_err::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

/// What a run needs: the base's tree, the openssl that was built for curl, and the RPMs.
struct Built {
    base: PathBuf,
    openssl: PathBuf,
    rpms: PathBuf,
}

/// Finds what `make rpms` left, or says that there is nothing.
fn built() -> Option<Built> {
    let root = root();
    let rpms = root.join("out/rpms/x86_64");
    if !rpms.is_dir() || !root.join(".kiln/store").is_dir() {
        eprintln!("skipped: no RPMs; run `make rpms` first");
        return None;
    }
    let store = Store::open(&root.join(".kiln/store")).unwrap();
    let lock = fs_err::read_to_string(root.join("lockfiles/debian-12-x86_64.lock")).unwrap();
    let lock = BaseLock::parse(&lock).unwrap();
    let base = store
        .tree(&lock.layer)
        .unwrap()
        .expect("the base's tree is in the store");
    let text = fs_err::read(root.join("out/provenance/curl.provenance.json")).unwrap();
    let provenance: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let inputs = &provenance["predicate"]["buildDefinition"]["resolvedDependencies"];
    let destdir = inputs.as_array().unwrap().iter().find(|input| {
        let text = input.to_string();
        text.contains("openssl") && text.contains("destdir")
    });
    let hex = destdir.unwrap()["digest"]["sha256"].as_str().unwrap();
    let layer = DiffId(kiln_model::Digest::from_hex(hex).unwrap());
    let openssl = store
        .tree(&layer)
        .unwrap()
        .expect("openssl's destdir is in the store");
    Some(Built {
        base,
        openssl,
        rpms,
    })
}

/// Runs a script as root of a fresh copy of the base root file system; returns its output.
fn run(built: &Built, script: &str) -> String {
    let engine = EmbeddedEngine::new(InitProgram {
        program: PathBuf::from(env!("CARGO_BIN_EXE_kiln")),
        arguments: vec!["sandbox-init".to_owned()],
    });
    let mount = |source: &Path, target: &str| Mount {
        source: source.to_owned(),
        target: target.parse().unwrap(),
        access: MountAccess::ReadOnly,
    };
    let environment: BTreeMap<String, String> = [
        ("PATH", "/usr/sbin:/usr/bin"),
        ("HOME", "/root"),
        ("LC_ALL", "C.UTF-8"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let step = SealedStep {
        label: "install".to_owned(),
        rootfs: vec![built.base.clone()],
        mounts: vec![
            mount(&built.rpms, "/rpms"),
            mount(&built.openssl, "/openssl"),
            mount(Path::new("/usr"), "/host"),
        ],
        command: ["/bin/sh", "-exc", script].map(str::to_owned).to_vec(),
        environment,
        working_directory: "/root".parse().unwrap(),
        user: StepUser::Root,
        limits: Limits {
            memory: 2 << 30,
            processes: 500,
            wall_time: Duration::from_secs(120),
            log: 1 << 20,
            scratch: 1 << 30,
            disk: 1 << 40,
            reserve: 0,
        },
    };
    let mut log = Vec::new();
    let outcome = engine.run(&step, &mut log, &Cancel::new()).unwrap();
    let log = String::from_utf8_lossy(&log).into_owned();
    assert_eq!(outcome.end, StepEnd::Exited(0), "{log}");
    log
}

const FETCH_OVER_TLS: &str = r#"
rpm --initdb
rpm -i /rpms/kiln-base-debian-12-*.rpm /rpms/libcurl-7*.rpm /rpms/curl-7*.rpm
rpm -V curl libcurl
ldd /usr/bin/curl

# A server with its own copy of OpenSSL: curl must not profit from it.
cd /tmp
openssl() { LD_LIBRARY_PATH=/openssl/usr/lib/curl/lib /openssl/usr/lib/curl/bin/openssl "$@"; }
printf '[req]\ndistinguished_name=name\n[name]\n' > openssl.cnf
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -config openssl.cnf -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem
echo 'fetched over TLS' > page.txt
openssl s_server -accept 127.0.0.1:4433 -cert cert.pem -key key.pem -WWW -quiet &
for try in 1 2 3 4 5 6 7 8 9 10; do
  curl -sS --cacert cert.pem https://localhost:4433/page.txt -o got.txt && break
  sleep 0.3
done
cmp page.txt got.txt
curl --version
# Without the certificate it must refuse.
! curl -sS https://localhost:4433/page.txt
rpm -e curl libcurl
! test -e /usr/lib/curl
"#;

#[test]
fn slow_installed_curl_fetches_over_its_own_tls() {
    let Some(built) = built() else { return };
    let log = run(&built, FETCH_OVER_TLS);
    for library in [
        "libssl.so.3 => /usr/lib/curl/lib/",
        "libcares.so.2 => /usr/lib/curl/lib/",
    ] {
        assert!(log.contains(library), "{library} is not in {log}");
    }
    assert!(
        log.contains("OpenSSL/3.0.20") && log.contains("c-ares/1.18.1"),
        "{log}"
    );
}

const SERVE_MEMORY: &str = r#"
rpm --initdb
# The base has no `useradd`; a user who is there is taken as it is.
echo 'memcached:x:990:990::/:/usr/sbin/nologin' >> /etc/passwd
echo 'memcached:x:990:' >> /etc/group
rpm -i /rpms/kiln-base-debian-12-*.rpm /rpms/memcached-1*.rpm
rpm -V memcached
ldd /usr/bin/memcached
memcached -u root -l 127.0.0.1 -p 11211 -d
perl -MIO::Socket::INET -e '
  my $server;
  for (1..50) { last if $server = IO::Socket::INET->new("127.0.0.1:11211"); select undef, undef, undef, 0.1 }
  $server or die "no memcached: $!";
  print $server "version\r\nset k 0 0 5\r\nvalue\r\nget k\r\nquit\r\n";
  print while <$server>'
rpm -e memcached
! test -e /usr/lib/memcached
"#;

#[test]
fn slow_installed_memcached_answers_with_its_own_libevent() {
    let Some(built) = built() else { return };
    let log = run(&built, SERVE_MEMORY);
    for part in [
        "libevent-2.1.so.7 => /usr/lib/memcached/lib/",
        "\nVERSION 1.6.18\r\n",
        "\nSTORED\r\nVALUE k 0 5\r\nvalue\r\nEND\r\n",
    ] {
        assert!(log.contains(part), "{part} is not in {log}");
    }
}

// Port 80 needs a privilege that the sandbox does not give, and changing users another id.
const SERVE_A_PAGE: &str = r#"
rpm --initdb
# The base has no `useradd`; a user who is there is taken as it is.
echo 'nginx:x:990:990::/:/usr/sbin/nologin' >> /etc/passwd
echo 'nginx:x:990:' >> /etc/group
rpm -i /rpms/kiln-base-debian-12-*.rpm /rpms/nginx-1*.rpm
rpm -V nginx
ldd /usr/sbin/nginx
mkdir -p /run
sed -e 's/listen  *80;/listen 127.0.0.1:8080;/' -e '1i user root root;' /etc/nginx/nginx.conf > /etc/nginx/try.conf
nginx -t -c /etc/nginx/try.conf
nginx -c /etc/nginx/try.conf -g 'daemon off; master_process off;' &
perl -MIO::Socket::INET -e '
  my $server;
  for (1..50) { last if $server = IO::Socket::INET->new("127.0.0.1:8080"); select undef, undef, undef, 0.1 }
  $server or die "no nginx: $!";
  print $server "GET / HTTP/1.0\r\n\r\n";
  local $/; my ($head, $body) = split /\r\n\r\n/, <$server>, 2;
  print $head; open my $got, ">", "/tmp/got" or die; print $got $body'
cmp /tmp/got /usr/share/nginx/html/index.html
nginx -V
rpm -e nginx
! test -e /usr/lib/nginx
"#;

#[test]
fn slow_installed_nginx_serves_a_page_with_its_own_libraries() {
    let Some(built) = built() else { return };
    let log = run(&built, SERVE_A_PAGE);
    for part in [
        "libssl.so.3 => /usr/lib/nginx/lib/",
        "libcrypto.so.3 => /usr/lib/nginx/lib/",
        "libpcre2-8.so.0 => /usr/lib/nginx/lib/",
        "libz.so.1 => /usr/lib/nginx/lib/",
        "HTTP/1.1 200 OK",
        "built with OpenSSL 3.0.20",
    ] {
        assert!(log.contains(part), "{part} is not in {log}");
    }
}

#[test]
fn slow_packages_do_not_install_without_the_base() {
    let Some(built) = built() else { return };
    let log = run(
        &built,
        "rpm --initdb\n! rpm -i --test /rpms/zlib-1.2.13-1*.rpm 2>&1\n",
    );
    assert!(log.contains("libc.so.6"), "{log}");
}

/// The host's gdb, with its own loader, libraries and Python, in the tree that the packages are
/// installed in.
const SHOW_SOURCES: &str = r#"
rpm --initdb
rpm -i --nodeps /rpms/libcurl-7*.rpm /rpms/curl-7*.rpm /rpms/curl-debug*.rpm
! test -e /build/src
debug() {
  file=$1
  shift
  PYTHONHOME=/host /host/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 \
    --library-path /host/lib/x86_64-linux-gnu /host/bin/gdb --data-directory=/host/share/gdb \
    -nx -batch -iex 'set debug-file-directory /usr/lib/debug' "$@" "$file"
}
debug /usr/bin/curl -ex 'list main' -ex 'info source'
debug /usr/lib64/libcurl.so.4 -ex 'list curl_easy_perform'
debug /usr/lib/curl/lib/libssl.so.3 -ex 'list SSL_new'
"#;

#[test]
fn slow_debugger_shows_source_lines_from_the_debug_packages() {
    let Some(built) = built() else { return };
    if !Path::new("/usr/bin/gdb").exists() {
        eprintln!("skipped: this host has no gdb");
        return;
    }
    let log = run(&built, SHOW_SOURCES);
    for part in [
        "int main(int argc, char *argv[])",
        "Located in /usr/src/debug/curl-7.88.1-1.x86_64/curl-7.88.1/src/tool_main.c",
        "CURLcode curl_easy_perform(struct Curl_easy *data)",
        "SSL *SSL_new(SSL_CTX *ctx)",
    ] {
        assert!(log.contains(part), "{part} is not in {log}");
    }
}

#[test]
fn slow_the_sbom_gives_private_files_the_digests_that_they_have_in_the_package() {
    let Some(built) = built() else { return };
    let sbom = fs_err::read(root().join("out/sbom/curl.cdx.json")).unwrap();
    let sbom: serde_json::Value = serde_json::from_slice(&sbom).unwrap();
    let rpm = fs_err::read(built.rpms.join("libcurl-7.88.1-1.x86_64.rpm")).unwrap();
    let rpm = kiln_rpm::RpmFile::parse(&rpm).unwrap();
    let mut compared = 0;
    for component in sbom["components"].as_array().unwrap() {
        let occurrences = component["evidence"]["occurrences"].as_array();
        for occurrence in occurrences.into_iter().flatten() {
            let path = occurrence["location"].as_str().unwrap();
            let context = occurrence["additionalContext"].as_str().unwrap();
            let file = rpm.files().iter().find(|file| file.path == path).unwrap();
            let kiln_rpm::PackagedFileKind::Regular {
                digest: Some(digest),
            } = file.kind
            else {
                panic!("{path} is no file");
            };
            assert!(
                context.contains(&digest.to_string()),
                "{path}: {digest} is not in {context}"
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 3, "libcares, libcrypto and libssl");
}
