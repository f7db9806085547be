//! What became of a session's frames, counted.

use std::ops::AddAssign;

use crate::Latency;

macro_rules! frame_stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of one session's frames, since it began. Each side counts what it sees.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct FrameStats {
            $($(#[$doc])* pub $name: u64,)*
            /// How long frames that ended with a result took: on a server from the submit's arrival until the last result
            /// was handed over for sending, on a client from sending the submit until the last result arrived.
            pub latency: Latency,
        }

        impl FrameStats {
            /// Every counter with its name; [`FrameStats::latency`] is not among them.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }

            /// The higher one of each counter.
            pub fn max(mut self, other: FrameStats) -> FrameStats {
                $(self.$name = self.$name.max(other.$name);)*
                self.latency = self.latency.max(other.latency);
                self
            }
        }

        impl AddAssign for FrameStats {
            fn add_assign(&mut self, other: FrameStats) {
                $(self.$name += other.$name;)*
                self.latency += other.latency;
            }
        }
    };
}

frame_stats! {
    /// Submits sent (client), or received and accepted (server).
    frames_submitted,
    /// Frames that ended with a result.
    frames_delivered,
    /// Frames that ended without one, for whatever reason.
    frames_dropped,
    /// Live frames given up by the client. They also count by how they end.
    frames_cancelled,
    /// Server: of those, the ones whose FRAME_CANCEL came before their submit.
    cancelled_early,
    /// Server: FRAME_CANCELs for finished frames (R-CAN-1).
    cancels_ignored,
    /// Frames whose budget ran out: the server's own doing with "expire frames", a client's by the reason it was told.
    frames_expired,
    /// Submits under an id that was live already (R-SUB-10), whether accepted or refused.
    ids_reused,
    /// Server: submits refused because no credit was left (R-SUB-11). Client: submits sent beyond a number that did not
    /// prove to be a bound.
    beyond_credit,
    /// Client: submits that had to wait for credit or the end of a pause.
    submits_held,
    /// Results sent (server) or received (client): every part of a frame counts, and the late ones do.
    results,
    /// Results for frames that were not live any more, or never had been (R-LIFE-5, R-RES-10).
    results_late,
    /// Client: results of frames it had given up, thrown away.
    results_unwanted,
    /// Client: results that applied a policy their frame did not allow (R-RES-8); delivered all the same.
    results_beyond_policy,
    /// Server: results for expired frames, not sent.
    results_expired,
    /// Client: RESULT_DROPs for frames that had ended (R-LIFE-4).
    drops_ignored,
}
