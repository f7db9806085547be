//! How large what is on the wire may be, with the reason of each number, and the maxima a codec has to be told.
//! What bounds a session, its times, rates and caches, is in `nnrp-session`.

/// Default for the largest body of FRAME_SUBMIT, RESULT_PUSH and CACHE_PUT (R-LIM-1): a 4K frame of fp16 luma and normals fits,
/// and a thousand connections that send one such body each still fit a server's memory.
pub const MAX_BODY_BYTES: u32 = 32 * 1024 * 1024;

/// Largest body of the handshake messages (R-LIM-2): room for a large auth token, too little to be worth an attack by a
/// peer that is not authenticated.
pub const MAX_HELLO_BODY_BYTES: u32 = 64 * 1024;

/// Largest body of a probe (R-LIM-2): enough to measure a fast path; the bytes are thrown away as they arrive.
pub const MAX_PROBE_BODY_BYTES: u32 = 1024 * 1024;

/// Largest body of any other message before a session is active (R-LIM-2): a reason text.
pub const MAX_EARLY_BODY_BYTES: u32 = 4096;

/// Largest body of other control messages in a session (R-LIM-3): none needs more than a text or 16 bytes.
pub const MAX_CONTROL_BODY_BYTES: u32 = 64 * 1024;

/// Default for the tensor sections of one frame (R-LIM-4).
pub const MAX_SECTIONS: u16 = 16;

/// Longest CLOSE reason that is kept (R-LIM-5).
pub const MAX_CLOSE_REASON_BYTES: usize = 1024;
/// Longest diagnostic that is sent (R-LIM-5).
pub const MAX_DIAGNOSTIC_SENT_BYTES: usize = 512;
/// Longest diagnostic that is kept (R-LIM-5).
pub const MAX_DIAGNOSTIC_RECEIVED_BYTES: usize = 4096;
/// Longest model name that is sent or kept (R-LIM-5).
pub const MAX_MODEL_NAME_BYTES: usize = 1024;

/// Extensions in one block (R-LIM-13): ten times what is assigned.
pub const MAX_CONTROL_EXTENSIONS: usize = 64;

/// The maxima that decide about a packet before its bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Body of FRAME_SUBMIT, RESULT_PUSH and CACHE_PUT, in bytes.
    pub max_body_bytes: u32,
    /// Tensor sections of one frame.
    pub max_sections: u16,
    /// Body of other control messages in a session, in bytes.
    pub max_control_body_bytes: u32,
    /// Body of CLIENT_HELLO, SESSION_MIGRATE and their answers, in bytes.
    pub max_hello_body_bytes: u32,
    /// Body of TRANSPORT_PROBE, in bytes.
    pub max_probe_body_bytes: u32,
    /// Body of any other message before a session is active, in bytes.
    pub max_early_body_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: MAX_BODY_BYTES,
            max_sections: MAX_SECTIONS,
            max_control_body_bytes: MAX_CONTROL_BODY_BYTES,
            max_hello_body_bytes: MAX_HELLO_BODY_BYTES,
            max_probe_body_bytes: MAX_PROBE_BODY_BYTES,
            max_early_body_bytes: MAX_EARLY_BODY_BYTES,
        }
    }
}
