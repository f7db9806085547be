//! A tile index in any mode.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nnrp_wire::check::tile_index(data));
