//! The metadata of a result and its body.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nnrp_wire::check::result_body(data));
