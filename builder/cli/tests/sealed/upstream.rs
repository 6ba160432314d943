//! Two small upstreams: `demo`, a program with a shared library, and `sums`, a library to bundle.

use flate2::Compression;
use flate2::write::GzEncoder;

const DEMO_MAKEFILE: &str = "\
PREFIX ?= /usr
all: demo libdemo.a
libdemo.so.1.0: lib.c demo.h
\t$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -shared $(LDFLAGS) -Wl,-soname,libdemo.so.1 -o $@ lib.c
\tln -sf $@ libdemo.so.1
\tln -sf libdemo.so.1 libdemo.so
lib.o: lib.c demo.h
libdemo.a: lib.o
\t$(AR) cr $@ lib.o
demo: main.c demo.h libdemo.so.1.0
\t$(CC) $(CPPFLAGS) $(DEFINES) $(CFLAGS) $(LDFLAGS) -o $@ main.c -L. -ldemo $(DEMO_LIBS)
check: all
\tLD_LIBRARY_PATH=. ./demo | grep -x 'the answer is 42'
install: all
\tmkdir -p $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include
\tmkdir -p $(DESTDIR)$(KILN_LIBDIR)/pkgconfig
\tcp demo $(DESTDIR)$(PREFIX)/bin
\tcp demo.h $(DESTDIR)$(PREFIX)/include
\tcp -P libdemo.so* libdemo.a $(DESTDIR)$(KILN_LIBDIR)
\tcp demo.pc $(DESTDIR)$(KILN_LIBDIR)/pkgconfig
";

/// `__DATE__` and `__FILE__` are there to be tamed.
const DEMO_LIB: &str = "\
#include \"demo.h\"
const char *demo_build(void) { return __DATE__ \" \" __TIME__ \" \" __FILE__; }
int demo_answer(void) { return 42; }
";

const DEMO_MAIN: &str = "\
#include <stdio.h>
#include \"demo.h\"
#ifdef WITH_SUMS
#include <sums.h>
#endif
int main(void)
{
    int answer = demo_answer();
#ifdef WITH_SUMS
    answer = sums_add(answer, 0);
#endif
    printf(\"the answer is %d\\n\", answer);
    return demo_build()[0] == 0;
}
";

const DEMO_PC: &str = "\
Name: demo
Description: A demo
Version: 1.0
Libs: -L/usr/lib64 -ldemo
";

const SUMS_MAKEFILE: &str = "\
all: libsums.so.1.0
libsums.so.1.0: sums.c sums.h
\t$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -shared $(LDFLAGS) -Wl,-soname,libsums.so.1 -o $@ sums.c
\tln -sf $@ libsums.so.1
\tln -sf libsums.so.1 libsums.so
check: all
\ttest -s libsums.so.1
install: all
\tmkdir -p $(DESTDIR)$(KILN_LIBDIR) $(DESTDIR)$(PREFIX)/include
\tcp -P libsums.so* $(DESTDIR)$(KILN_LIBDIR)
\tcp sums.h $(DESTDIR)$(PREFIX)/include
";

/// Returns `demo-1.0.tar.gz`.
pub fn demo() -> Vec<u8> {
    tarball(&[
        ("demo-1.0/LICENSE", "Do as you like.\n"),
        ("demo-1.0/Makefile", DEMO_MAKEFILE),
        (
            "demo-1.0/demo.h",
            "int demo_answer(void);\nconst char *demo_build(void);\n",
        ),
        ("demo-1.0/demo.pc", DEMO_PC),
        ("demo-1.0/lib.c", DEMO_LIB),
        ("demo-1.0/main.c", DEMO_MAIN),
    ])
}

/// Returns `sums-2.1.tar.gz`.
pub fn sums() -> Vec<u8> {
    tarball(&[
        ("sums-2.1/Makefile", SUMS_MAKEFILE),
        (
            "sums-2.1/sums.c",
            "#include \"sums.h\"\nint sums_add(int a, int b) { return a + b; }\n",
        ),
        ("sums-2.1/sums.h", "int sums_add(int a, int b);\n"),
    ])
}

/// Packs texts the same way every time.
pub fn tarball(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}
