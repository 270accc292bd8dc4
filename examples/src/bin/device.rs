//! The device program in every slot. Versions differ in two settings of the build: `OTA_DEVICE_VERSION`, and
//! `OTA_DEVICE_SELF_TEST`, which is `pass` (default) or `fail`.

use std::process::ExitCode;

use clap::Parser;
use ota_agent::SelfTest;
use ota_examples::device::{Error, Options, Printing, run};
use ota_examples::lines::{Kind, print};
use ota_examples::parent::leave_with_parent;

const VERSION: &str = match option_env!("OTA_DEVICE_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};
const SELF_TEST: &str = match option_env!("OTA_DEVICE_SELF_TEST") {
    Some(verdict) => verdict,
    None => "pass",
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match start().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("device: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn start() -> Result<(), Error> {
    let options = Options::parse();
    if options.leave_with_parent {
        leave_with_parent();
    }
    print(Kind::Start, "", VERSION);
    let verdict = if SELF_TEST == "fail" { SelfTest::Failed } else { SelfTest::Passed };
    let application = Printing::new(&options, VERSION, verdict);
    run(options, application).await
}
