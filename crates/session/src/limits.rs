//! Every number that bounds a session, with the reason for its value. Sizes on the wire (bodies, sections,
//! texts) are in [`nnrp_wire::limits`].

use std::time::Duration;

/// A client has this long to finish its handshake once somebody is waiting for it, and a server to answer
/// (R-LIM-9): longer than any sane round trip, short enough that a silent peer costs little.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a draining connection waits for its last frames and for the peer to close (R-LIM-11).
pub const DRAIN_TIME: Duration = Duration::from_secs(5);

/// A server that goes away waits this long for the hello of a client that has just connected, to tell it so: a few round
/// trips.
pub const LATE_HELLO_TIME: Duration = Duration::from_secs(2);

/// Silence after which a connection counts as lost (R-LIM-10).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// How often our client asks "are you there?": four times per idle timeout of the shortest peer we know of
/// would be 2.5 s, which is noise; a third of the 45 s after which it gives up is enough.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Silence after which our client gives up on a peer that has answered a PING before. Three lost pings.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(45);

/// How often a client asks until it gives up, at least and whatever interval it was given: with a timeout that is not longer than
/// the interval it would end sessions that are merely idle. Two questions may be late.
pub const ASKED_BEFORE: u32 = 3;

/// On QUIC, where nobody says that a process is gone, both are this many times shorter while frames wait for their answers:
/// somebody waits then, and 5 s and 15 s are still far beyond what a network that works may take. An idle session does not
/// wake its network so often.
pub const WAITING_SHARE: u32 = 3;

/// PINGs answered per second (R-LIM-12); a peer that wants more wants our CPU.
pub const MAX_PINGS_PER_SECOND: u32 = 100;

/// Non-fatal ERRORs sent per second and connection (wire reference 9.2); RESULT_DROP is never left out.
pub const MAX_ERRORS_PER_SECOND: u32 = 16;

/// Probes answered per connection (R-LIM-8): three samples, a warm-up, and as many again.
pub const MAX_PROBES: u32 = 8;

/// SESSION_PATCHes per second (R-PATCH-8).
pub const MAX_PATCHES_PER_SECOND: u32 = 10;

/// Objects a server holds for one client (R-LIM-14); the number rc2 clients offer in return.
pub const MAX_CACHE_ENTRIES: u32 = 256;

/// Bytes of those objects (R-LIM-14).
pub const MAX_CACHE_BYTES: u32 = 8 * 1024 * 1024;

/// Objects a server may have on their way to a client without an acknowledgement; of the oldest beyond it, one that comes late
/// is not told. As many as a client usually has room for.
pub const MAX_INSTALLING: usize = 256;

/// Wait asked of a peer whose patches or probes came too fast.
pub const RATE_LIMIT_RETRY: Duration = Duration::from_secs(1);

/// Replies the library makes by itself (PONG, acknowledgements) that may wait for a peer that does not read.
/// A peer beyond this is not reading anything; further replies are not queued.
pub const MAX_QUEUED_REPLIES: usize = 1024;

/// After CLOSE both sides wait this long on QUIC for frames and results that have arrived and are still on their way
/// through their own reading: a peer says CLOSE only when what it sent before was acknowledged.
pub const QUIET_GRACE: Duration = Duration::from_millis(50);

/// Cancels a server remembers that came before their submits, which happens on QUIC only: a submit has a stream of its
/// own, and a small one on the control stream overtakes it. As many as a client may have on their way at once.
pub const MAX_EARLY_CANCELS: usize = 1024;

/// How long a client holds a submit back for a number that was only announced in the handshake, while no running frame
/// ends. Servers announce 1 unless told otherwise and enforce nothing; one that collects frames before it answers
/// would wait for ever for the frame that we hold back. Long enough for any answer that is under way.
pub const ANNOUNCED_CREDIT_PATIENCE: Duration = Duration::from_millis(500);

/// How long a client holds a submit back for credit that was granted or for the end of a pause, unless told otherwise.
/// A server that means it says so more often than this.
pub const CREDIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Answered submits whose tile ids are remembered, so that a result may leave them out. Unanswered ones are
/// always remembered; they are bounded by the receive queue.
pub const REMEMBERED_SUBMITS: usize = 4096;

/// Bytes of those tile ids, for all remembered submits together: a list of 65535 ids is 128 KiB, and a client can ask for one with
/// a bit for each id. Beyond it the oldest answered frames are forgotten early.
pub const REMEMBERED_TILE_BYTES: usize = 1024 * 1024;

/// A client counts a partially answered frame as delivered when nothing more came for at least this long
/// (R-LIFE-1).
pub const MIN_PARTIAL_LINGER: Duration = Duration::from_secs(1);
