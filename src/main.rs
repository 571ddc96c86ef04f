//! The `stillage` command. See the library for how it works.

fn main() -> std::process::ExitCode {
    stillage::cli::run()
}
