//! Why TLS failed: kinds that a program can tell apart, and sentences that say what to do.

use std::fmt;
use std::io;

#[cfg(feature = "quic")]
use quinn::ConnectionError;
use rustls::{AlertDescription, CertificateError, Error};

/// The first byte of a TLS record, and the first of its version.
const ALERT_RECORD: [u8; 2] = [21, 3];
const HANDSHAKE_RECORD: [u8; 2] = [22, 3];

/// QUIC puts TLS alerts into this range of its error codes.
#[cfg(feature = "quic")]
const QUIC_CRYPTO_ERRORS: std::ops::Range<u64> = 0x100..0x200;

/// Bytes of an unencrypted alert: what is all that a TLS peer answers a plain one.
const ALERT_BYTES: usize = 7;

/// What was wrong with a TLS handshake, or ended a connection soon after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsFault {
    /// A certificate is signed by nobody who is trusted.
    UnknownAuthority,
    /// The server's certificate is for other names.
    WrongName,
    /// A certificate has expired.
    Expired,
    /// A certificate is not valid yet.
    NotYetValid,
    /// A certificate cannot be accepted for another reason.
    BadCertificate,
    /// The server admits only clients that show a certificate, and this one showed none.
    ClientCertificateRequired,
    /// The two sides have no ALPN protocol in common (R-TCP-1, R-QUIC-1).
    Alpn,
    /// The other side does not speak TLS.
    NotTls,
    /// The other side speaks TLS, and this one does not.
    TlsRequired,
    /// The connection was cut off: whoever did it was not the other side's TLS.
    Truncated,
    /// Something else; the text says what.
    Other,
}

impl TlsFault {
    /// Every kind with its name.
    pub const NAMES: [(TlsFault, &'static str); 11] = [
        (TlsFault::UnknownAuthority, "unknown_authority"),
        (TlsFault::WrongName, "wrong_name"),
        (TlsFault::Expired, "expired"),
        (TlsFault::NotYetValid, "not_yet_valid"),
        (TlsFault::BadCertificate, "bad_certificate"),
        (TlsFault::ClientCertificateRequired, "client_certificate_required"),
        (TlsFault::Alpn, "alpn"),
        (TlsFault::NotTls, "not_tls"),
        (TlsFault::TlsRequired, "tls_required"),
        (TlsFault::Truncated, "truncated"),
        (TlsFault::Other, "other"),
    ];

    /// The name of the kind.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(fault, _)| *fault == self).map_or("other", |(_, name)| name)
    }

    fn of_certificate(error: &CertificateError) -> Self {
        use CertificateError as C;
        match error {
            C::UnknownIssuer => Self::UnknownAuthority,
            C::NotValidForName | C::NotValidForNameContext { .. } => Self::WrongName,
            C::Expired | C::ExpiredContext { .. } => Self::Expired,
            C::NotValidYet | C::NotValidYetContext { .. } => Self::NotYetValid,
            _ => Self::BadCertificate,
        }
    }

    fn of_alert(alert: AlertDescription) -> Self {
        use AlertDescription as A;
        match alert {
            A::UnknownCA => Self::UnknownAuthority,
            A::CertificateExpired => Self::Expired,
            A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateUnknown
            | A::DecryptError => Self::BadCertificate,
            A::CertificateRequired => Self::ClientCertificateRequired,
            A::NoApplicationProtocol => Self::Alpn,
            _ => Self::Other,
        }
    }

    fn of(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            Error::NoCertificatesPresented => Self::ClientCertificateRequired,
            Error::AlertReceived(alert) => Self::of_alert(*alert),
            Error::NoApplicationProtocol => Self::Alpn,
            Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Other,
        }
    }

    /// What to do about it, for whoever found it (`reported` false) or was told (`reported` true).
    fn advice(self, reported: bool) -> &'static str {
        match (self, reported) {
            (Self::UnknownAuthority, false) => {
                "; trust the authority that signed it, or that very certificate, if it is the one you expect"
            }
            (Self::UnknownAuthority, true) => {
                "; the other side does not trust the authority of our certificate"
            }
            (Self::WrongName, false) => {
                "; connect by a name that the certificate is for, or set the server name to check"
            }
            (Self::Expired | Self::NotYetValid, false) => {
                "; the other side has to renew its certificate, or a clock is wrong"
            }
            (Self::Expired, true) => "; our certificate has to be renewed, or a clock is wrong",
            (Self::BadCertificate, true) => "; the other side does not accept our certificate",
            (Self::ClientCertificateRequired, false) => "; the client has to be given one",
            (Self::ClientCertificateRequired, true) => {
                "; the server wants a client certificate: give one to connect with"
            }
            (Self::Alpn, _) => "; both sides have to offer the same ALPN protocol (R-TCP-1, R-QUIC-1)",
            (Self::NotTls, _) => "; the other side does not speak TLS: is it meant to be plain TCP?",
            _ => "",
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A kind, if TLS was the reason, and the sentence.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) fault: Option<TlsFault>,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(fault: TlsFault, text: impl fmt::Display) -> Self {
        Failure { fault: Some(fault), text: text.to_string() }
    }

    fn of_tls(error: &Error) -> Self {
        let fault = TlsFault::of(error);
        let advice = fault.advice(matches!(error, Error::AlertReceived(_)));
        Failure::new(fault, format_args!("{error}{advice}"))
    }

    /// Why reading or writing a stream failed.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match inner {
            Some(error) => Failure::of_tls(error),
            // Plain streams report their end otherwise.
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                Failure::new(TlsFault::Truncated, "the connection was cut off without a TLS close_notify")
            }
            None => Failure { fault: None, text: error.to_string() },
        }
    }

    /// Why a QUIC connection ended; `refused` is what our verifier did not accept.
    #[cfg(feature = "quic")]
    pub(crate) fn of_quic(error: &ConnectionError, refused: Option<&Error>) -> Self {
        if let Some(refused) = refused {
            return Failure::of_tls(refused);
        }
        let (code, reported) = match error {
            ConnectionError::TransportError(found) => (found.code, false),
            ConnectionError::ConnectionClosed(close) => (close.error_code, true),
            _ => return Failure { fault: None, text: error.to_string() },
        };
        let code = u64::from(code);
        if !QUIC_CRYPTO_ERRORS.contains(&code) {
            return Failure { fault: None, text: error.to_string() };
        }
        let alert = AlertDescription::from(code.to_le_bytes()[0]);
        let fault = TlsFault::of_alert(alert);
        Failure::new(fault, format_args!("{error}{}", fault.advice(reported)))
    }

    /// What a peer that ends a plain stream with these bytes meant, if it was a TLS alert.
    pub(crate) fn of_plain_end(bytes: &[u8]) -> Option<Self> {
        is_alert(bytes).then(|| {
            Failure::new(
                TlsFault::TlsRequired,
                "the other side speaks TLS and this side does not: connect with TLS",
            )
        })
    }
}

/// Whether bytes that should be a packet are a TLS alert.
pub(crate) fn is_alert(bytes: &[u8]) -> bool {
    bytes.len() == ALERT_BYTES && bytes.starts_with(&ALERT_RECORD)
}

/// Whether bytes that should be a packet are the beginning of a TLS record, as far as they go.
pub(crate) fn may_be_record(bytes: &[u8]) -> bool {
    let begin = |record: [u8; 2]| bytes.iter().zip(record).all(|(byte, expected)| *byte == expected);
    begin(ALERT_RECORD) || begin(HANDSHAKE_RECORD)
}

/// Whether bytes that should be a packet begin a TLS handshake.
pub(crate) fn is_handshake(bytes: &[u8]) -> bool {
    bytes.starts_with(&HANDSHAKE_RECORD)
}
