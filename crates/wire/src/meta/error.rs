//! ERROR.

use crate::field::wire_struct;

wire_struct! {
    /// A fault, and what it ends.
    pub struct ErrorMetadata: 32, length PKT_1, of Error {
        /// Why; an unassigned code counts as an internal error.
        0 error_code: u32 as ErrorCode;
        /// What it ends. [`crate::ErrorMessage`] reads an unassigned scope as the connection.
        4 error_scope: u32 as ErrorScope => ERR_1;
        /// 0 no, anything else yes.
        8 is_fatal: u32;
        /// When to try again, in milliseconds; 0 for no advice.
        12 retry_after_ms: u32;
        /// The session concerned, or 0.
        16 related_session_id: u32;
        /// The frame concerned, or 0.
        20 related_frame_id: u32;
        /// The view of that frame, or 0.
        24 related_view_id: u32;
        /// Length of the text at the start of the body.
        28 diagnostic_bytes: u32;
    }
}
