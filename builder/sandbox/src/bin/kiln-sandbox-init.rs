//! The hidden init program on its own, for tests: `kiln sandbox-init` does the same.

fn main() {
    kiln_sandbox::sandbox_init()
}
