//! A header and the decision whether its packet may be read.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nnrp_wire::check::header_round_trips(data));
