//! SESSION_MIGRATE and SESSION_MIGRATE_ACK.

use crate::{Detail, RuleId, TransportId, WireError, field::wire_struct};

wire_struct! {
    /// Moves a session to the connection it arrives on.
    pub struct SessionMigrateMetadata: 24, length PKT_1, of SessionMigrate {
        /// The binding the session leaves.
        0 old_transport_id: u32 as TransportId => MIG_1;
        /// The binding the session moves to.
        4 new_transport_id: u32 as TransportId => MIG_1;
        /// Last frame whose result arrived; 0 for none.
        8 last_result_frame_id: u64;
        /// The client's clock in microseconds.
        16 client_migrate_ts_us: u64;
    }
    contract migrate_contract;
}

fn migrate_contract(metadata: &SessionMigrateMetadata) -> Result<(), WireError> {
    for (field, id) in
        [("old_transport_id", metadata.old_transport_id), ("new_transport_id", metadata.new_transport_id)]
    {
        if id == TransportId::Unspecified {
            let detail = Detail::Because("transport id must not be unspecified");
            return Err(SessionMigrateMetadata::refuse(RuleId::MIG_1, field, detail));
        }
    }
    Ok(())
}

wire_struct! {
    /// Accepts or refuses a migration.
    pub struct SessionMigrateAckMetadata: 24, length PKT_1, of SessionMigrateAck {
        /// 0 accepted, 1 refused without a reason, otherwise refused with this error code.
        0 accept_code: u32;
        /// Lowest frame id the client may submit from now on.
        4 resume_from_frame_id: u64;
        /// How long the old path still delivers, in milliseconds.
        12 grace_window_ms: u32;
        /// The server's clock in microseconds.
        16 server_migrate_ts_us: u64;
    }
}
