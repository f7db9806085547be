//! A byte stream cut anywhere.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nnrp_testkit::check::framing_survives_splits(data));
