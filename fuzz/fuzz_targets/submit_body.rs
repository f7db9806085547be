//! The metadata of a submit and its body.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nnrp_wire::check::submit_body(data));
