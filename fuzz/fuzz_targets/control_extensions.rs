//! A block of control extensions.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nnrp_wire::check::control_extensions(data));
