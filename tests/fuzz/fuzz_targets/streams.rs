#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ota_tests::fuzz::run("streams", bytes));
