//! The `ota` command. Everything is in `ota_cloud::tool`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match ota_cloud::tool::run(ota_cloud::tool::Arguments::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("ota: {failed}");
            ExitCode::FAILURE
        }
    }
}
